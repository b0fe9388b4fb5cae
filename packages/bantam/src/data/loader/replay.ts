import { sampleCaption } from '../sources/captions.js';
import { resolveAugment, type ImageAugment } from '../augment/schema.js';
import { ImageDecoder } from './image-decoder.js';
import type { Quarantine } from './quarantine.js';
import { CounterRng } from '../counter-rng.js';
import { templatesOf, type Source } from '../sources/source.js';
import { WorkerPool } from './worker-pool.js';

/**
 * A fixed number of augmented views and captions of each record, which repeat as often as needed: view k and caption k are those that a loader with this seed makes in epoch k.
 */
export interface Replay {
  readonly seed: number;
  /** Views of each image. */
  readonly augmentations: number;
  /** Captions of each record, not all different. */
  readonly captions: number;
  /** Shortest side that files keep when they are halved while decoding: crops are sampled within it. */
  readonly decodeSide: number;
}

/** Indices of the views and captions of a batch's samples. */
export interface Replayed {
  readonly views: Int32Array;
  readonly captions: Int32Array;
}

/** Samples a view and a caption for each record: a pure function of (seed, epoch, index). */
export function sampleReplay(
  { augmentations, captions }: Replay,
  { seed, epoch, indices }: { seed: number; epoch: number; indices: Int32Array },
): Replayed {
  const views = new Int32Array(indices.length);
  const captionIndices = new Int32Array(indices.length);
  for (const [i, index] of indices.entries()) {
    const rng = new CounterRng({ seed, purpose: 'replay', epoch, index });
    views[i] = rng.integer(augmentations);
    captionIndices[i] = rng.integer(captions);
  }
  return { views, captions: captionIndices };
}

/** All captions of a record that may come again, in their order. */
export function replayCaptions(
  source: Source,
  index: number,
  { seed, captions }: Replay,
): readonly string[] {
  const record = source.record(index);
  return Array.from({ length: captions }, (_, epoch) => {
    const rng = new CounterRng({ seed, purpose: 'caption', epoch, index });
    return sampleCaption(record, templatesOf(source, record), rng);
  });
}

export interface ReplayBatchesOptions {
  readonly replay: Replay;
  readonly augment: ImageAugment;
  /** Side length of the images in pixels. */
  readonly size: number;
  /** The records that are read, range by range: from `start` up to but not `end`. */
  readonly ranges: readonly { readonly start: number; readonly end: number }[];
  /** Most records of a batch; a batch is within a range. */
  readonly batchSize: number;
  /** Worker threads; 0 makes the views in the calling thread. 1 by default. */
  readonly workers?: number;
  /** Counts broken images. */
  readonly quarantine: Quarantine;
}

/** All views of consecutive records. */
export interface ReplayBatch {
  /** Pixels: [size · augmentations, side, side, 3], RGB, uint8; zero where an image is broken. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** The first record. */
  readonly first: number;
  /** Number of records. */
  readonly size: number;
  /** The records whose images could not be read, with the reasons. */
  readonly broken: ReadonlyMap<number, string>;
}

/**
 * Makes every view of records, in order; the next batch while one is used.
 *
 * @throws BantamError where more images are broken than the quarantine allows.
 */
export async function* replayBatches(
  source: Source,
  { replay, augment, size, ranges, batchSize, workers = 1, quarantine }: ReplayBatchesOptions,
): AsyncGenerator<ReplayBatch, void, undefined> {
  const { seed, augmentations, decodeSide } = replay;
  const settings = {
    views: { image: resolveAugment(augment) },
    seed,
    decodeSide,
    cache: undefined,
  };
  const pool = workers > 0 ? new WorkerPool(workers, settings) : undefined;
  const decoder = pool ?? new ImageDecoder(settings);
  const epochs = Array.from({ length: augmentations }, (_, epoch) => epoch);
  const make = async (first: number, end: number): Promise<ReplayBatch> => {
    const samples = Array.from({ length: end - first }, (_, i) => {
      return { index: first + i, location: source.location(first + i), epochs };
    });
    const { images, failures } = await decoder.decode({ size, samples });
    const broken = failures.map(({ row, reason }) => [first + row, reason] as const);
    return {
      images: images.image ?? new Uint8Array(),
      first,
      size: samples.length,
      broken: new Map(broken),
    };
  };
  const spans = ranges.flatMap(({ start, end }) =>
    Array.from({ length: Math.ceil((end - start) / batchSize) }, (_, i) => {
      const first = start + i * batchSize;
      return { first, end: Math.min(first + batchSize, end) };
    }),
  );
  const queue: Promise<ReplayBatch>[] = [];
  let tried = 0;
  pool?.hold();
  try {
    for (const [i] of spans.entries()) {
      for (const { first, end } of spans.slice(i + queue.length, i + 2)) {
        const batch = make(first, end);
        // A failure surfaces where the batch is awaited; until then it must not end the process.
        batch.catch(() => undefined);
        queue.push(batch);
      }
      const batch = await queue.shift();
      if (batch === undefined) return;
      tried += batch.size;
      for (const [index, reason] of batch.broken) {
        quarantine.add({ key: source.record(index).key, reason }, tried);
      }
      yield batch;
    }
  } finally {
    await pool?.close();
  }
}
