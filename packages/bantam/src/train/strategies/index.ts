/** Every strategy. A new one is a file in this folder and a line here. */
import { RandomStreams } from '@bantam/torch';
import type * as v from 'valibot';
import type { DeepReadonly } from '../../base/readonly.js';
import { BantamError } from '../../base/errors.js';
import { tagged } from '../../base/schema.js';
import type { LoadedModel, ModelConfig, Preprocess } from '../../models/index.js';
import type { FineTune } from '../config/fine-tune.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';
import { clip, clipDa, fastclip, siglip } from './clip.js';
import { clipa } from './clipa.js';
import { coca } from './coca.js';
import { distill } from './distill.js';
import { flip } from './flip.js';
import { lit } from './lit.js';
import { headFirst } from './phases.js';
import { siclip } from './siclip.js';
import { slip } from './slip.js';
export { withLogits } from './contrastive.js';
import type { Strategy, StrategyKind, StrategySchema } from './strategy.js';

const kinds = [
  clip,
  clipDa,
  slip,
  flip,
  clipa,
  lit,
  siglip,
  fastclip,
  distill,
  siclip,
  coca,
] as const;

/** The strategies. */
export const strategies: readonly StrategyKind[] = kinds;

type SchemasOf<Kinds extends readonly { readonly schema: StrategySchema }[]> = {
  -readonly [I in keyof Kinds]: Kinds[I]['schema'];
};

/** Schema of a strategy with its settings; a name alone stands for its defaults. */
export const strategySchema = tagged(
  kinds.map(({ schema }) => schema) as unknown as SchemasOf<typeof kinds>,
);

/** A strategy's name, or its settings told apart by `type`; absent ones have their defaults. */
export type StrategyInput = DeepReadonly<v.InferInput<typeof strategySchema>>;

/** A strategy with all of its settings, told apart by `type`; plain JSON. */
export type StrategyConfig = DeepReadonly<v.InferOutput<typeof strategySchema>>;

/** The name of a strategy. */
export type StrategyName = StrategyConfig['type'];

/** The name in a strategy's schema. */
export function nameOf({ schema }: Pick<StrategyKind, 'schema'>): string {
  return schema.entries.type.literal;
}

/** The strategy that a configuration names. */
export function strategyKind({ type }: Pick<StrategyConfig, 'type'>): StrategyKind {
  const found = strategies.find((kind) => nameOf(kind) === type);
  if (found === undefined) throw new RangeError(`There is no strategy '${type}'.`);
  return found;
}

/** The parts of a run's configuration that {@link createStrategy} uses. */
export interface StrategyParts {
  readonly strategy: StrategyConfig;
  /** Default: all weights train in every phase. */
  readonly fineTune?: FineTune;
  readonly model: ModelConfig;
  readonly init: { readonly model: string; readonly image: string };
  readonly seed: number;
  readonly preprocess: Preprocess;
}

/** Data and models of a run that {@link createStrategy} uses. */
export interface StrategyResources {
  /** Samples of the source. */
  readonly samples: number;
  /** The teachers. Default: none. */
  readonly models?: readonly LoadedModel[];
  /** The reinforced data set. Default: none. */
  readonly reinforced?: ReinforcedSet | null;
}

/**
 * The strategy of a configuration, its own modules initialised.
 *
 * @throws BantamError if its settings and the model do not fit together.
 */
export function createStrategy(
  { strategy, fineTune, model, init, seed, preprocess }: StrategyParts,
  { samples, models = [], reinforced = null }: StrategyResources,
): Strategy {
  const created = strategyKind(strategy).create(strategy, {
    model,
    samples,
    preprocess,
    models,
    reinforced,
    trained: { image: init.model !== '' || init.image !== '' },
    generator: new RandomStreams({ seed }).get('strategy'),
  });
  if (fineTune?.type !== 'lp-ft') return created;
  const [training, another] = created.phases;
  if (training === undefined || another !== undefined) {
    throw new BantamError(
      `The setting 'fineTune.type' is "lp-ft", which trains in two phases, but the strategy '${strategy.type}' has phases of its own; choose another of the two.`,
    );
  }
  return { ...created, phases: headFirst(training, fineTune) };
}
