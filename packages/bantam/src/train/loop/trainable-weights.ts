/** Which weights of a model learn: frozen ones, low-rank changes, the head alone in a first phase. */
import {
  nameMatcher,
  onDevice,
  RandomStreams,
  type NamePattern,
  type Parameter,
} from '@bantam/torch';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError } from '../../base/errors.js';
import { weightType } from '../../base/precision.js';
import {
  addLora,
  createModel,
  headNames,
  trainedCosts,
  type Clip,
  type TrainedCosts,
} from '../../models/index.js';
import type { TrainConfig } from '../config/config.js';
import type { Phase } from '../strategies/phases.js';
import type { Strategy } from '../strategies/strategy.js';

/** Parts of a training that {@link TrainableWeights} depend on. */
export interface TrainableContext {
  readonly config: Pick<TrainConfig, 'train' | 'fineTune'>;
  readonly strategy: Pick<Strategy, 'frozen'>;
  /** Streams that initialise low-rank changes and sample their dropout. */
  readonly streams: RandomStreams;
}

/**
 * The weights of a model that learn. Freezes what strategy and settings freeze, adds low-rank changes
 * if the run is fine-tuned so, and converts the model to the type that the settings train in.
 */
export class TrainableWeights {
  readonly #model: Clip;
  /** All that learn in any phase, with those of the head alone. */
  readonly #learning: Readonly<Record<Phase['trains'], ReadonlySet<Parameter>>>;

  /** @throws BantamError or TorchError for a pattern that matches nothing. */
  constructor(model: Clip, { config, strategy, streams }: TrainableContext) {
    const { train, fineTune } = config;
    this.#model = model;
    model.freeze(frozenNames(model, [...(strategy.frozen ?? []), ...train.freeze]));
    if (fineTune.type === 'lora') {
      addLora(model, fineTune, {
        init: streams.get('lora'),
        dropout: streams.get('lora-dropout'),
      });
    }
    model.to(weightType(train.precision));
    const named = model.namedParameters();
    const all = new Set([...named.values()].filter(({ requiresGrad }) => requiresGrad));
    const head = headNames(model).flatMap((name) => named.get(name) ?? []);
    this.#learning = { all, head: new Set(head.filter((parameter) => all.has(parameter))) };
  }

  /** Lets the weights of a phase learn, and no others; modules that do not learn are in evaluation mode. */
  select(trains: Phase['trains']): void {
    for (const parameter of this.#learning.all) {
      parameter.requiresGrad = this.#learning[trains].has(parameter);
    }
    this.#model.train();
  }

  /** The costs of training them. */
  costs(trains: Phase['trains']): TrainedCosts {
    return trainedCosts(this.#model, this.#learning[trains]);
  }
}

/**
 * Checks on the meta device what {@link TrainableWeights} will do.
 *
 * @throws BantamError or TorchError for a pattern that matches nothing, or if all weights are frozen.
 */
export function checkTrainableWeights({
  config,
  strategy,
}: Omit<TrainableContext, 'streams'> & { readonly config: Pick<TrainConfig, 'model'> }): void {
  onDevice('meta', () => {
    using model = createModel(config.model, { generator: null });
    new TrainableWeights(model, { config, strategy, streams: new RandomStreams({ seed: 0 }) });
    if (model.parameters().some(({ requiresGrad }) => requiresGrad)) return;
    throw new BantamError(
      `Every weight of the model is frozen (train.freeze: ${config.train.freeze.join(', ')}), so nothing would train; freeze fewer.`,
    );
  });
}

/**
 * Patterns with the words `image` and `text` replaced by the names of that tower's parameters.
 *
 * @throws BantamError for a word that resembles one of these, and matches no parameter.
 */
function frozenNames(model: Clip, patterns: readonly NamePattern[]): NamePattern[] {
  const towers = new Map<NamePattern, ReadonlySet<Parameter>>([
    ['image', new Set(model.visual.parameters())],
    ['text', new Set(model.text.parameters())],
  ]);
  const named = [...model.namedParameters()];
  return patterns.flatMap((pattern) => {
    const tower = towers.get(pattern);
    if (tower !== undefined) {
      return named.filter(([, parameter]) => tower.has(parameter)).map(([name]) => name);
    }
    const hint = didYouMean(String(pattern), ['image', 'text']);
    if (hint !== '' && !named.map(([name]) => name).some(nameMatcher(pattern))) {
      throw new BantamError(
        `"${String(pattern)}" of train.freeze is no tower${hint} and matches none of the ${named.length} parameter names; write image, text, or a pattern of names.`,
      );
    }
    return [pattern];
  });
}
