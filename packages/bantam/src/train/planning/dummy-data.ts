/** Dummy data in place of a run's own, for dry runs and measurements. */
import { onDevice, RandomStreams, type Device } from '@bantam/torch';
import { at } from '../../base/at.js';
import { resolvePrecision } from '../../base/precision.js';
import { Quarantine, type Batch, type Source } from '../../data/index.js';
import { createModel, type Clip, type ModelConfig } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import type { TrainConfig } from '../config/config.js';
import type { CountedCaption } from '../config/tokenizer.js';
import type { TrainingContext } from '../loop/context.js';
import { flopsPerSample } from '../loop/micro-batch.js';
import { TrainableWeights } from '../loop/trainable-weights.js';
import type { BatchStream } from '../loop/trainer.js';
import { createStrategy } from '../strategies/index.js';
import type { Phase } from '../strategies/phases.js';
import type { Strategy } from '../strategies/strategy.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';

/** Options of {@link noiseBatch}. */
export interface NoiseBatchOptions {
  /** Samples. */
  size: number;
  /** Size of the images in pixels. */
  imageSize: number;
  /** Names of the views; default: the image alone. */
  views?: readonly string[];
}

/** Images of noise, all captions different. */
export function noiseBatch({ size, imageSize, views = ['image'] }: NoiseBatchOptions): Batch {
  const pixels = new Uint8Array(size * imageSize * imageSize * 3);
  // A linear congruential sequence: all that matters is that values differ.
  let state = 1;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = state >>> 24;
  }
  const captions = Array.from({ length: size }, (_, i) => String(i));
  return {
    images: Object.fromEntries(views.map((view) => [view, pixels])),
    height: imageSize,
    width: imageSize,
    size,
    captions,
    indices: Int32Array.from(captions, Number),
    keys: captions,
    epoch: 0,
    next: { epoch: 0, position: 0 },
  };
}

/** One batch, endlessly. */
export function repeated(batch: Batch): BatchStream {
  return {
    waitSeconds: 0,
    async *batches() {
      for (;;) yield await Promise.resolve(batch);
    },
  };
}

/** Texts of one length: ids computed from the number that a text starts with, then the highest id. */
export function fixedLengthTokenizer({ text }: ModelConfig, length: number): Tokenizer {
  const eotId = text.vocabSize - 1;
  const encode = (caption: string): number[] =>
    Array.from({ length }, (_, i) =>
      i === length - 1 ? eotId : (Number.parseInt(caption, 10) * 31 + i) % eotId,
    );
  return {
    vocabSize: text.vocabSize,
    contextLength: text.contextLength,
    sotId: -1,
    eotId,
    padId: 0,
    encode,
    encodeBatch: (texts) => ({
      ids: BigInt64Array.from(texts.flatMap(encode), BigInt),
      shape: [texts.length, length],
    }),
    decode: (ids) => Array.from(ids, String).join(' '),
    save: () => Promise.reject(new RangeError('These texts are for measuring alone.')),
  };
}

/** The parts of a {@link TrainingContext} that its plan depends on. */
export type PlanContext = Pick<TrainingContext, 'source' | 'models' | 'longest'> &
  Partial<Pick<TrainingContext, 'reinforced' | 'emit' | 'device'>>;

/** The parts of a strategy that its plan depends on. */
export interface StrategyFacts {
  /** Views of each image. */
  readonly views: number;
  /** Bytes kept of each image, if all are encoded before the first step; else 0. */
  readonly storedBytes: number;
  /** Parameters of its own, beside the model's. */
  readonly parameters: number;
  /** Its phases, each with the FLOPs of a step per sample. */
  readonly phases: readonly { readonly phase: Phase; readonly flops: number }[];
}

/** The facts of a configuration's strategy, which is created on the meta device. */
export function strategyFacts(
  config: TrainConfig,
  { source, models, reinforced = null, longest }: PlanContext,
): StrategyFacts {
  const strategy = onDevice('meta', () =>
    createStrategy(config, { samples: source.size, models, reinforced }),
  );
  const phases = onDevice('meta', () => {
    using model = createModel(config.model, { generator: null });
    const streams = new RandomStreams({ seed: config.seed });
    const weights = new TrainableWeights(model, { config, strategy, streams });
    return strategy.phases.map((phase) => {
      const captionTokens = tokensIn(phase, longest);
      const step = { captionTokens, phase, trained: weights.costs(phase.trains) };
      return { phase, flops: flopsPerSample(strategy, config, step) };
    });
  });
  const parameters = strategy.module?.parameters().reduce((sum, { size }) => sum + size, 0) ?? 0;
  strategy.module?.dispose();
  strategy[Symbol.dispose]?.();
  return {
    views: Object.keys(strategy.views(config.augment)).length,
    storedBytes: strategy.storedBytes ?? 0,
    parameters,
    phases,
  };
}

/** A training on dummy data, in one phase of its strategy. */
export interface DummyTraining extends Disposable {
  readonly device: Device;
  readonly config: TrainConfig;
  readonly strategy: Strategy;
  readonly batch: Batch;
  readonly batches: BatchStream;
  readonly tokenizer: Tokenizer;
  /** The strategy's pass over the data before the first step, if it has one, over so many images at once. */
  prepare(model: Clip, images: number): Promise<void>;
}

/** Records whose indices dummy batches have, in turn, as stored embeddings of them are read. */
export const RECORDS = 8;

/**
 * A training on batches of `size` samples of noise with the longest captions. Models, stored embeddings
 * and the images of a pass before training are the run's own.
 *
 * @param shape - Index of the strategy's phase, and the samples of a batch
 */
export function dummyTraining(
  config: TrainConfig,
  { source, models, reinforced = null, longest, device = 'cpu' }: PlanContext,
  { phaseIndex, size }: { phaseIndex: number; size: number },
): DummyTraining {
  const own = onDevice(device, () =>
    createStrategy(config, { samples: source.size, models, reinforced }),
  );
  const phase = at(own.phases, phaseIndex);
  const start = own.phases.slice(0, phaseIndex).reduce((sum, { fraction }) => sum + fraction, 0);
  const strategy: Strategy = {
    ...own,
    // The texts have the phase's length already.
    phases: [phase.text === null ? phase : { ...phase, text: null }],
    losses: (features, step) =>
      own.losses(features, { ...step, progress: start + phase.fraction / 2 }),
  };
  const noise = noiseBatch({
    size,
    imageSize: phase.imageSize ?? config.preprocess.size,
    views: Object.keys(own.views(config.augment)),
  });
  const records = wholeRecords(source, reinforced);
  const batch = {
    ...noise,
    // The number makes captions differ; teachers read the text behind it.
    captions: noise.captions.map((number) => `${number} ${longest.text}`),
    indices: noise.indices.map((i) => at(records, i % records.length)),
    ...(own.replay && {
      replayed: { views: new Int32Array(size), captions: new Int32Array(size) },
    }),
  };
  return {
    device,
    config,
    strategy,
    batch,
    batches: repeated(batch),
    tokenizer: fixedLengthTokenizer(config.model, tokensIn(phase, longest)),
    async prepare(model, images) {
      if (own.storedBytes === undefined) return;
      await own.prepare?.({
        model,
        source: withSize(source, images),
        preprocess: config.preprocess,
        precision: resolvePrecision(config.train.precision, device),
        batchSize: images,
        quarantine: new Quarantine({ maxFraction: 1 }),
        exclude: () => undefined,
        onProgress: () => undefined,
      });
    },
    [Symbol.dispose]() {
      own.module?.dispose();
      own[Symbol.dispose]?.();
    },
  };
}

function tokensIn({ text }: Phase, { tokens }: CountedCaption): number {
  return Math.min(tokens, text?.length ?? tokens);
}

/** The first records whose embeddings a reinforced data set has. */
function wholeRecords({ size }: Source, reinforced: ReinforcedSet | null): readonly number[] {
  const broken = new Set(reinforced?.broken);
  const found: number[] = [];
  for (let i = 0; i < size && found.length < RECORDS; i++) if (!broken.has(i)) found.push(i);
  return found;
}

/** The source with another size: its first records, repeated if it has fewer. */
function withSize(source: Source, size: number): Source {
  return {
    ...source,
    size,
    record: (index) => source.record(index % source.size),
    location: (index) => source.location(index % source.size),
    image: (index) => source.image(index % source.size),
  };
}
