import { noGrad, scope, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Clip } from '../clip.js';
import { resizePositions } from '../positions.js';
import { differencesOf, summarizeDifferences } from '../io/weights.js';

/** A part of a model that {@link copyWeights} can copy alone. */
export type TowerName = 'visual' | 'text';

/** Options of {@link copyWeights}. */
export interface CopyWeightsOptions {
  /** The only tower that is copied; default: the whole model, temperature and bias included. */
  tower?: TowerName;
}

/** Members of a tower's configuration that do not bind its weights to what it computes. */
const free: readonly string[] = [
  'imageSize',
  'contextLength',
  'patchDropout',
  'dropPath',
  'hfTokenizerName',
  'tokenizerKwargs',
];

/**
 * Copies the weights of a trained model, or of one of its towers, into a new one, to go on training
 * (fine-tuning; LiT, Zhai et al. 2022). Learned positions are interpolated where the image size or the
 * context differs; a bias of the logits that is new starts with its scale as the configuration says.
 * Afterwards the two share nothing.
 *
 * @throws BantamError if the new model computes something else by these weights: it names the first
 * tensors that differ, or the first member of the configuration.
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
  // A scale goes with its bias: where the bias is new, both are as the configuration starts them.
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

/** @throws BantamError if weights are no weights for `into`, or would mean something else there. */
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
      `The weights are of another ${what} than the one that they are to start ` +
        `(${summarizeDifferences(differences)}); take the configuration of the model that they come from.`,
    );
  }
  const member = firstDifference(from, into, tower);
  if (member === undefined) return;
  throw new BantamError(
    `The weights come from a model with another ${member}, and would not compute the same in this ${what}; set it as it is there.`,
  );
}

/** The first member of the configurations that differs, as `"headWidth" of "vision"`. */
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
