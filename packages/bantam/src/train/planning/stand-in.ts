import type { Batch, Source } from '../../data/index.js';
import { Quarantine } from '../../data/index.js';
import type { Clip, LoadedModel } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import type { TrainConfig } from '../config.js';
import { fixedLengthTokenizer, noiseBatch, repeated } from '../noise.js';
import type { Phase } from '../phases.js';
import { flopsPerSample } from '../pieces.js';
import { resolvePrecision } from '../../base/precision.js';
import type { ReinforcedSet } from '../reinforced/reinforced-set.js';
import { createStrategy } from '../strategies/index.js';
import type { Strategy } from '../strategy.js';
import type { CountedCaption } from '../tokenizer.js';
import type { BatchStream } from '../trainer.js';

/** What a training is planned for, beside its configuration. */
export interface PlanOptions {
  source: Source;
  /** The models that the strategy works with. */
  models: readonly LoadedModel[];
  /** What the strategy reads in place of them. */
  reinforced?: ReinforcedSet | null | undefined;
  /** The longest caption. */
  longest: CountedCaption;
  /** Hears what is being done, in words. */
  onProgress?: ((message: string) => void) | undefined;
}

/** What a plan goes by of a strategy. */
export interface StrategyFacts {
  /** Views of each picture. */
  readonly views: number;
  /** Bytes that stay of each picture, all of which are encoded before the first step; 0: none are. */
  readonly storedBytes: number;
  /** Its phases, each with the operations of a step per sample. */
  readonly phases: readonly { readonly phase: Phase; readonly flops: number }[];
}

/** Reads them off the strategy of a configuration. */
export function strategyFacts(
  config: TrainConfig,
  { source, models, reinforced = null, longest }: PlanOptions,
): StrategyFacts {
  const strategy = createStrategy(config, { samples: source.size, models, reinforced });
  const phases = strategy.phases.map((phase) => {
    const captionTokens = tokensIn(phase, longest);
    return { phase, flops: flopsPerSample(strategy, config, { captionTokens, phase }) };
  });
  strategy.module?.dispose();
  strategy[Symbol.dispose]?.();
  return {
    views: Object.keys(strategy.views(config.augment)).length,
    storedBytes: strategy.storedBytes ?? 0,
    phases,
  };
}

/** What a run works with, of one phase alone, its data replaced by noise. */
export interface StandIn {
  readonly strategy: Strategy;
  readonly batch: Batch;
  readonly loader: BatchStream;
  readonly tokenizer: Tokenizer;
  /** The pass over the data that comes before the first step, where there is one, over so many pictures at once. */
  prepare(model: Clip, pictures: number): Promise<void>;
}

/** Records that batches of noise pass for, again and again, as what is stored of them is read. */
export const RECORDS = 8;

/**
 * Noise in place of a run's data: batches of `size` samples with the longest captions, for the phase
 * at `place`. Models, stored features and the pictures of a pass before training are the run's own.
 */
export function standIn(
  config: TrainConfig,
  { source, models, reinforced = null, longest }: PlanOptions,
  { place, size }: { place: number; size: number },
): StandIn {
  const own = createStrategy(config, { samples: source.size, models, reinforced });
  const phase = own.phases[place];
  if (phase === undefined) throw new RangeError(`There is no phase ${place}.`);
  const start = own.phases.slice(0, place).reduce((sum, { share }) => sum + share, 0);
  const strategy: Strategy = {
    ...own,
    // The texts have the phase's length already.
    phases: [phase.text === null ? phase : { ...phase, text: null }],
    losses: (features, context) =>
      own.losses(features, { ...context, progress: start + phase.share / 2 }),
  };
  const noise = noiseBatch({
    size,
    edge: phase.imageSize ?? config.preprocess.size,
    views: Object.keys(own.views(config.augment)),
  });
  const records = wholeRecords(source, reinforced);
  const batch = {
    ...noise,
    // The number makes captions differ; teachers read what comes after it.
    captions: noise.captions.map((number) => `${number} ${longest.text}`),
    indices: noise.indices.map((i) => records[i % records.length] ?? 0),
    ...(own.replay && {
      replayed: { views: new Int32Array(size), captions: new Int32Array(size) },
    }),
  };
  return {
    strategy,
    batch,
    loader: repeated(batch),
    tokenizer: fixedLengthTokenizer(config.model, tokensIn(phase, longest)),
    async prepare(model, pictures) {
      if (own.storedBytes === undefined) return;
      await own.prepare?.({
        model,
        source: withSize(source, pictures),
        preprocess: config.preprocess,
        precision: resolvePrecision(config.train.precision),
        batchSize: pictures,
        quarantine: new Quarantine({ maxFraction: 1 }),
        exclude: () => undefined,
        onProgress: () => undefined,
      });
    },
  };
}

function tokensIn({ text }: Phase, { tokens }: CountedCaption): number {
  return Math.min(tokens, text?.length ?? tokens);
}

/** The first records that a reinforced set has features of. */
function wholeRecords({ size }: Source, reinforced: ReinforcedSet | null): readonly number[] {
  const broken = new Set(reinforced?.broken);
  const found: number[] = [];
  for (let i = 0; i < size && found.length < RECORDS; i++) if (!broken.has(i)) found.push(i);
  return found;
}

/** The source as if it had so many records: its first ones, over again where it has fewer. */
function withSize(source: Source, size: number): Source {
  return {
    ...source,
    size,
    record: (index) => source.record(index % source.size),
    location: (index) => source.location(index % source.size),
    image: (index) => source.image(index % source.size),
  };
}
