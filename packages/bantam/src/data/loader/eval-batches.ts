import { causeOf } from '../../base/system-error.js';
import { decodeLocation } from '../images/decode.js';
import type { Geometry } from '../images/eval-geometry.js';
import { evalTransform } from '../images/eval-transform.js';
import { Quarantine } from './quarantine.js';
import type { DataRecord, Source } from '../sources/source.js';

export interface EvalBatchesOptions {
  /** How images are resized; its mean and standard deviation are applied by the runtime. */
  readonly preprocess: Geometry;
  /** 256 by default. */
  readonly batchSize?: number;
  /** The records to read, in this order; all of the source by default. */
  readonly indices?: ArrayLike<number>;
  /** Counts broken samples; by default a new one, which never stops. */
  readonly quarantine?: Quarantine;
}

/** Consecutive samples of a source, prepared for evaluation. */
export interface EvalBatch {
  /** Pixels: [size, height, width, 3], RGB, uint8. */
  readonly images: Uint8Array<ArrayBuffer>;
  readonly height: number;
  readonly width: number;
  readonly size: number;
  /** Records of the source; the broken ones are left out. */
  readonly indices: Int32Array;
  readonly records: readonly DataRecord[];
}

/**
 * Reads a source in order, once, through the evaluation transform. Broken samples are quarantined
 * and left out, so a batch may be smaller than `batchSize`; an empty one is not given.
 */
export async function* evalBatches(
  source: Source,
  {
    preprocess,
    batchSize = 256,
    indices,
    quarantine = new Quarantine({ maxFraction: 1 }),
  }: EvalBatchesOptions,
): AsyncGenerator<EvalBatch, void, undefined> {
  const chosen =
    indices === undefined
      ? Array.from({ length: source.size }, (_, index) => index)
      : Array.from(indices);
  for (let start = 0; start < chosen.length; start += batchSize) {
    const wanted = chosen.slice(start, start + batchSize);
    const { images, failures } = await prepare(source, wanted, preprocess);
    for (const [index, reason] of failures) {
      quarantine.add({ key: source.record(index).key, reason }, start + wanted.length);
    }
    const read = wanted.filter((index) => !failures.has(index));
    if (read.length === 0) continue;
    yield {
      images,
      height: preprocess.size,
      width: preprocess.size,
      size: read.length,
      indices: Int32Array.from(read),
      records: read.map((index) => source.record(index)),
    };
  }
}

async function prepare(source: Source, wanted: readonly number[], geometry: Geometry) {
  const failures = new Map<number, string>();
  const prepared: (Uint8Array | undefined)[] = [];
  const tasks = wanted.entries();
  const worker = async (): Promise<void> => {
    for (const [row, index] of tasks) {
      try {
        const pixels = await decodeLocation(source.location(index));
        prepared[row] = evalTransform(pixels, geometry).data;
      } catch (error) {
        failures.set(index, causeOf(error));
      }
    }
  };
  // A few at once: decoding runs in the thread pool.
  await Promise.all(Array.from({ length: 4 }, worker));
  const bytes = geometry.size ** 2 * 3;
  const images = new Uint8Array((wanted.length - failures.size) * bytes);
  let row = 0;
  for (const pixels of prepared) if (pixels !== undefined) images.set(pixels, row++ * bytes);
  return { images, failures };
}
