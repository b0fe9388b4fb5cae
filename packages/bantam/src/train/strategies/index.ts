/** Every strategy. A new one is a file in this folder and a line here. */
import { RandomStreams } from '@bantam/torch';
import { UsageError } from '../../base/errors.js';
import { readFields } from '../../base/fields.js';
import type { LoadedModel } from '../../models/index.js';
import { didYouMean } from '../../base/did-you-mean.js';
import type { TrainConfig } from '../config/config.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';
import type { Strategy, StrategyKind } from './strategy.js';
import { clip, clipDa, fastclip, siglip, type ClipDaSettings } from './clip.js';
import { clipa, type ClipaSettings } from './clipa.js';
import { coca, type CocaSettings } from './coca.js';
import type { ContrastiveSettings } from './contrastive.js';
import { distill, type DistillSettings } from './distill.js';
import { flip, type FlipSettings } from './flip.js';
import { lit, type LitSettings } from './lit.js';
import { siclip, type SiclipSettings } from './siclip.js';
import { slip, type SlipSettings } from './slip.js';

/** A strategy with its settings, by its `type`; plain JSON. */
export type StrategyConfig =
  | ({ readonly type: 'clip' | 'siglip' | 'fastclip' } & ContrastiveSettings)
  | ({ readonly type: 'clip-da' } & ClipDaSettings)
  | ({ readonly type: 'slip' } & SlipSettings)
  | ({ readonly type: 'flip' } & FlipSettings)
  | ({ readonly type: 'lit' } & LitSettings)
  | ({ readonly type: 'clipa' } & ClipaSettings)
  | ({ readonly type: 'distill' } & DistillSettings)
  | ({ readonly type: 'siclip' } & SiclipSettings)
  | ({ readonly type: 'coca' } & CocaSettings);

/** The kinds of strategies. */
export const strategies: readonly StrategyKind[] = [
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
];

/** The kind of that name; an unknown one is an error that names the nearest. */
export function strategyKind(type: string): StrategyKind {
  const found = strategies.find((kind) => kind.type === type);
  if (found !== undefined) return found;
  const known = strategies.map((kind) => kind.type);
  throw new UsageError(
    `There is no strategy '${type}'${didYouMean(type, known)}; choose one of: ${known.join(', ')}.`,
  );
}

/**
 * Reads a strategy from JSON, or from its name alone: then every setting has its default.
 *
 * @throws UsageError for an unknown name; BantamError for an unknown setting or a value that is not
 * accepted.
 */
export function parseStrategy(value: string | { readonly type: string }): StrategyConfig {
  const { type, ...members } = typeof value === 'string' ? { type: value } : value;
  const kind = strategyKind(type);
  const settings = readFields<object>(members, kind.fields, `strategy '${type}'`);
  return { type: kind.type, ...settings } as StrategyConfig;
}

/** What of a run's configuration {@link createStrategy} goes by. */
export type StrategyParts = Pick<
  TrainConfig,
  'strategy' | 'model' | 'init' | 'seed' | 'preprocess'
>;

/** Options of {@link createStrategy}. */
export interface CreateStrategyOptions {
  /** Samples of the source. */
  samples: number;
  /** The models that the strategy works with, see `loadStrategyModels`. Default: none. */
  models?: readonly LoadedModel[];
  /** The reinforced set that the strategy learns from. Default: none. */
  reinforced?: ReinforcedSet | null;
}

/**
 * The strategy of a configuration, with fresh weights of its own.
 *
 * @throws BantamError where its settings and the model do not go together.
 */
export function createStrategy(
  { strategy, model, init, seed, preprocess }: StrategyParts,
  { samples, models = [], reinforced = null }: CreateStrategyOptions,
): Strategy {
  return strategyKind(strategy.type).create(strategy, {
    model,
    samples,
    preprocess,
    models,
    reinforced,
    trained: { image: init.model !== '' || init.image !== '' },
    generator: new RandomStreams({ seed }).get('strategy'),
  });
}
