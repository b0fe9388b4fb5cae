import { fromTypedArray, to, type Device, type Tensor } from '@bantam/torch';
import { CounterRng, type Batch } from '../data/index.js';
import { normalizePixels } from '../models/index.js';
import { TextReducer, type EncodedBatch, type Tokenizer } from '../text/index.js';
import type { Piece } from './backward.js';
import type { TrainConfig } from './config.js';
import type { Phase } from './phases.js';
import type { Samples, StepBatch, Strategy } from './strategy.js';

/** Samples that pass through the towers at once. */
export function loadSize({ batchSize, microBatch }: TrainConfig['train']): number {
  return microBatch === 0 ? batchSize : microBatch;
}

/** Batches of the loader for one step: pieces of every contrastive batch. */
export function loadsPerStep(train: TrainConfig['train']): number {
  return train.accumulate * (train.batchSize / loadSize(train));
}

/** The most pictures that {@link Strategy.prepare} encodes at once. */
export function encodedAtOnce(train: TrainConfig['train']): number {
  return Math.min(256, loadSize(train));
}

/** Operations of a step per sample with captions of so many tokens, as budgets count them. */
export function flopsPerSample(
  strategy: Strategy,
  { model, train }: Pick<TrainConfig, 'model' | 'train'>,
  { captionTokens, phase }: { captionTokens: number; phase: Phase },
): number {
  const forwardPasses = loadSize(train) < train.batchSize ? 2 : 1;
  const { gradCheckpointing: recomputed } = train;
  return strategy.flops(model, { captionTokens, phase, forwardPasses, recomputed });
}

/** The samples of loader's batches that are contrasted with each other. */
export function samplesOf(batches: readonly Batch[]): Samples {
  return {
    indices: Int32Array.from(batches.flatMap(({ indices }) => [...indices])),
    captions: batches.flatMap(({ captions }) => captions),
    epoch: batches[0]?.epoch ?? 0,
  };
}

/** What {@link PieceMaker} works with. */
export interface PieceOptions {
  readonly config: Pick<TrainConfig, 'preprocess' | 'seed'>;
  readonly tokenizer: Tokenizer;
  readonly device: Device;
}

/** A piece, and how many tokens its captions have. */
export interface CaptionedPiece extends Piece {
  readonly captionTokens: number;
}

/** Makes the loader's batches into tensors, captions shortened as the phase says. */
export class PieceMaker {
  readonly #options: PieceOptions;
  /** Of one phase: it keeps what it found out about words. */
  #reduction: { phase: Phase; reducer: TextReducer } | null = null;

  constructor(options: PieceOptions) {
    this.#options = options;
  }

  /** A batch of the loader; its tensors are made anew for each pass. */
  make(batch: Batch, phase: Phase): CaptionedPiece {
    const { device } = this.#options;
    const { ids, shape } = this.#encode(batch, phase);
    const load = (): StepBatch => ({
      images: Object.fromEntries(
        Object.entries(batch.images).map(([view, pixels]) => [view, this.#pixels(pixels, batch)]),
      ),
      ids: to(fromTypedArray(ids, { shape }), { device }),
      captions: batch.captions,
      indices: batch.indices,
      ...(batch.replayed && { replayed: batch.replayed }),
    });
    return { size: batch.size, captionTokens: shape[1], load };
  }

  /** What is left out of captions is a function of seed, epoch and sample. */
  #encode({ captions, epoch, indices }: Batch, phase: Phase): EncodedBatch {
    const { config, tokenizer } = this.#options;
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
        index: indices[row] ?? 0,
      });
      return () => rng.uniform();
    });
  }

  #pixels(pixels: Uint8Array, { size, height, width }: Batch): Tensor {
    const { config, device } = this.#options;
    // The loader's memory is reused after this step, and normalising copies it before.
    const raw = fromTypedArray(pixels, { shape: [size, height, width, 3], copy: false });
    return normalizePixels(to(raw, { device }), config.preprocess);
  }
}
