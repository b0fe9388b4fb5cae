/** Micro-batches: the samples that pass through the towers at once. */
import { fromTypedArray, to, type Device, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { CounterRng, type Batch } from '../../data/index.js';
import { normalizePixels, type TrainedCosts } from '../../models/index.js';
import { TextReducer, type EncodedBatch } from '../../text/index.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainSettings } from '../config/settings.js';
import type { Phase } from '../strategies/phases.js';
import type { Samples, StepBatch, Strategy } from '../strategies/strategy.js';
import type { TrainingContext } from './context.js';

type BatchSettings = Pick<TrainSettings, 'batchSize' | 'microBatch' | 'accumulate'>;

/** Samples of a micro-batch, which is a batch of the loader. */
export function microBatchSize({
  batchSize,
  microBatch,
}: Omit<BatchSettings, 'accumulate'>): number {
  return microBatch === 0 ? batchSize : microBatch;
}

/** Micro-batches of a step of the optimizer: those of every accumulated batch. */
export function microBatchesPerStep(train: BatchSettings): number {
  return train.accumulate * (train.batchSize / microBatchSize(train));
}

/** The most images that {@link Strategy.prepare} encodes at once. */
export function preparedAtOnce(train: BatchSettings): number {
  return Math.min(256, microBatchSize(train));
}

/** FLOPs of a step per sample, as budgets count them. */
export function flopsPerSample(
  strategy: Strategy,
  { model, train }: Pick<TrainConfig, 'model' | 'train'>,
  step: { captionTokens: number; phase: Phase; trained: TrainedCosts | undefined },
): number {
  const forwardPasses = microBatchSize(train) < train.batchSize ? 2 : 1;
  const { gradCheckpointing: recomputed } = train;
  return strategy.flops(model, { ...step, forwardPasses, recomputed });
}

/** The samples of the loader's batches that are contrasted with each other. */
export function samplesOf(
  batches: readonly Pick<Batch, 'indices' | 'captions' | 'epoch'>[],
): Samples {
  return {
    indices: Int32Array.from(batches.flatMap(({ indices }) => [...indices])),
    captions: batches.flatMap(({ captions }) => captions),
    epoch: at(batches, 0).epoch,
  };
}

/** The samples of one pass through the towers. */
export interface MicroBatch {
  readonly size: number;
  /** Makes the tensors; called once per pass, so that they need not be kept. */
  load(): StepBatch;
}

/** A micro-batch, and how many tokens its captions have. */
export interface CollatedBatch extends MicroBatch {
  readonly captionTokens: number;
  /** @param columns - Tokens that captions are padded to; default: those of the longest */
  load(columns?: number): StepBatch;
}

/** Ids with the padding's at the end of each row, up to so many columns. */
function padded({ ids, shape }: EncodedBatch, columns: number, padId: number): BigInt64Array {
  const [rows, given] = shape;
  if (columns === given) return ids;
  const wider = new BigInt64Array(rows * columns).fill(BigInt(padId));
  for (let row = 0; row < rows; row++) {
    wider.set(ids.subarray(row * given, (row + 1) * given), row * columns);
  }
  return wider;
}

/** The parts of a {@link TrainingContext} that a {@link Collator} uses. */
export type CollatorContext = Pick<TrainingContext, 'tokenizer'> & {
  readonly config: Pick<TrainConfig, 'preprocess' | 'seed'>;
};

/** Turns the loader's batches into tensors, captions shortened as the phase says. */
export class Collator {
  readonly #context: CollatorContext;
  readonly #device: Device;
  readonly #dtype: 'float32' | 'float64';
  /** Of one phase, as it caches the classes of words. */
  #reduction: { phase: Phase; reducer: TextReducer } | null = null;

  /**
   * @param device - Where the tensors go, which nobody waits for
   * @param dtype - Type of the pixels, which are normalised in float32
   */
  constructor(context: CollatorContext, device: Device, dtype: 'float32' | 'float64' = 'float32') {
    this.#context = context;
    this.#device = device;
    this.#dtype = dtype;
  }

  /** A batch of the loader; its tensors are made anew for each pass. */
  collate(batch: Batch, phase: Phase): CollatedBatch {
    const { ids, shape } = this.#encode(batch, phase);
    const load = (columns = shape[1]): StepBatch => ({
      images: Object.fromEntries(
        Object.entries(batch.images).map(([view, pixels]) => [view, this.#pixels(pixels, batch)]),
      ),
      ids: fromTypedArray(padded({ ids, shape }, columns, this.#context.tokenizer.padId), {
        shape: [shape[0], columns],
        device: this.#device,
      }),
      captions: batch.captions,
      indices: batch.indices,
      ...(batch.replayed && { replayed: batch.replayed }),
    });
    return { size: batch.size, captionTokens: shape[1], load };
  }

  /** Which tokens are dropped is a function of seed, epoch and sample. */
  #encode({ captions, epoch, indices }: Batch, phase: Phase): EncodedBatch {
    const { config, tokenizer } = this.#context;
    const { text: reduction } = phase;
    if (reduction === null) return tokenizer.encodeBatch(captions);
    if (this.#reduction?.phase !== phase) {
      this.#reduction = { phase, reducer: new TextReducer({ tokenizer, reduction }) };
    }
    return this.#reduction.reducer.encodeBatch(captions, (row) => {
      const rng = new CounterRng({
        seed: config.seed,
        purpose: 'text',
        epoch,
        index: at(indices, row),
      });
      return () => rng.uniform();
    });
  }

  #pixels(pixels: Uint8Array, { size, height, width }: Batch): Tensor {
    // The loader's memory is reused after this step, and normalising copies it before.
    const raw = fromTypedArray(pixels, {
      shape: [size, height, width, 3],
      copy: false,
      device: this.#device,
    });
    const dtype = this.#dtype;
    return to(normalizePixels(raw, this.#context.config.preprocess), { dtype });
  }
}
