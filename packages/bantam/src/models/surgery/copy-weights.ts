import { noGrad, scope, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Clip } from '../clip.js';
import { resizePositions } from '../positions.js';
import { differencesOf, summarizeDifferences } from '../io/weights.js';

/** A tower that {@link copyWeights} can copy alone. */
export type TowerName = 'visual' | 'text';

/** Options of {@link copyWeights}. */
export interface CopyWeightsOptions {
  /** The only tower that is copied; default: the whole model, temperature and bias included. */
  tower?: TowerName;
}

/** Settings of a tower that may differ without changing what its weights mean. */
const free: readonly string[] = [
  'imageSize',
  'contextLength',
  'patchDropout',
  'dropPath',
  'hfTokenizerName',
  'tokenizerKwargs',
];

/**
 * Copies the weights of a trained model, or of one of its towers, into a new one for fine-tuning (or
 * LiT, Zhai et al. 2022). Learned positions are interpolated if the image size or the context
 * differs; a new bias of the logits keeps its initial value, and so does the scale beside it. The two
 * models share no memory afterwards.
 *
 * @throws BantamError if the weights mean something else in the new model: it names the first tensors
 * or the first setting that differ.
 */
export function copyWeights(from: Clip, into: Clip, { tower }: CopyWeightsOptions = {}): void {
  noGrad(() => {
    scope(() => {
      const weights = weightsByTower(from, into);
      if (tower === undefined) {
        requireSame(from, into, weights.all, into.stateDict());
        into.loadStateDict(weights.all);
      } else {
        requireSame(from, into, weights[tower], into[tower].stateDict(), tower);
        into[tower].loadStateDict(weights[tower]);
      }
    });
  });
}

type Weights = ReadonlyMap<string, Tensor>;

/** Weights of `from` with positions for `into`, by the names that `into` and its towers have. */
function weightsByTower(from: Clip, into: Clip): Record<TowerName | 'all', Weights> {
  const resized = resizePositions(from.stateDict(), { from: from.config, to: into.config });
  const prefixes = (model: Clip) => ({
    visual: 'visual.',
    text: model.config.customText ? 'text.' : '',
  });
  const towerWeights = (name: TowerName): [string, Tensor][] =>
    [...from[name].stateDict()].map(([key, own]) => [
      key,
      resized.get(`${prefixes(from)[name]}${key}`) ?? own,
    ]);
  const [visual, text] = [towerWeights('visual'), towerWeights('text')];
  const named = (name: TowerName, entries: [string, Tensor][]): [string, Tensor][] =>
    entries.map(([key, value]) => [`${prefixes(into)[name]}${key}`, value]);
  // Scale and bias belong together: with a new bias, both keep the configuration's initial values.
  const anew = into.logitBias !== null && from.logitBias === null;
  const scalars = [...(anew ? into.stateDict() : resized)].filter(([key]) =>
    key.startsWith('logit_'),
  );
  const decoder = [...resized].filter(([key]) => key.startsWith('text_decoder.'));
  return {
    visual: new Map(visual),
    text: new Map(text),
    all: new Map([...named('visual', visual), ...named('text', text), ...decoder, ...scalars]),
  };
}

/** @throws BantamError if weights do not fit `into`, or would mean something else there. */
function requireSame(
  from: Clip,
  into: Clip,
  weights: Weights,
  own: Weights,
  tower?: TowerName,
): void {
  const what = tower === undefined ? 'model' : tower === 'visual' ? 'image tower' : 'text tower';
  const differences = differencesOf(own, weights);
  if (differences.length > 0) {
    throw new BantamError(
      `The weights belong to another ${what} than the one to initialise ` +
        `(${summarizeDifferences(differences)}); take the configuration of the model that they come from.`,
    );
  }
  const member = firstDifference(from, into, tower);
  if (member === undefined) return;
  throw new BantamError(
    `The weights come from a model with another ${member}, and would not compute the same in this ${what}; set it to the same value.`,
  );
}

/** The first setting that differs, as `"headWidth" of "vision"`. */
function firstDifference(from: Clip, into: Clip, tower?: TowerName): string | undefined {
  const { vision, text, decoder, quickGelu } = from.config;
  const { config } = into;
  // Of the image towers, ViTs alone have the activation of the model.
  const usesGelu = tower !== 'visual' || vision.type === 'vit';
  const differing = (own: object, other: object, where: string): string | undefined => {
    const others = new Map<string, unknown>(Object.entries(other));
    const key = Object.entries(own)
      .filter(([name]) => !free.includes(name))
      .find(([name, value]) => JSON.stringify(value) !== JSON.stringify(others.get(name)))?.[0];
    return key && `"${key}" of "${where}"`;
  };
  return (
    (quickGelu === config.quickGelu || !usesGelu ? undefined : '"quickGelu"') ??
    (tower === 'text' ? undefined : differing(vision, config.vision, 'vision')) ??
    (tower === 'visual' ? undefined : differing(text, config.text, 'text')) ??
    (tower === undefined ? differing(decoder ?? {}, config.decoder ?? {}, 'decoder') : undefined)
  );
}
