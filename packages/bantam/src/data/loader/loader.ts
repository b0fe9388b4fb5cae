import { availableParallelism } from 'node:os';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { resolveAugment, type ImageAugment } from '../augment/schema.js';
import {
  checkCaptionTemplates,
  hasCaptions,
  requireCaptions,
  sampleCaption,
} from '../sources/captions.js';
import {
  Candidates,
  epochOrder,
  rowsOfPart,
  samplesPerEpoch,
  type BatchPart,
  type Position,
} from './order.js';
import { defaultDecodeSide, PixelCache, pixelCacheBytes } from './pixel-cache.js';
import { ImageDecoder, type DecodedImages, type DecoderSettings } from './image-decoder.js';
import { Quarantine, type QuarantineOptions } from './quarantine.js';
import { CounterRng } from '../counter-rng.js';
import { sampleReplay, type Replay, type Replayed } from './replay.js';
import {
  templatesOf,
  type CaptionTemplates,
  type DataRecord,
  type Source,
} from '../sources/source.js';
import { WorkerPool } from './worker-pool.js';

export interface LoaderOptions {
  readonly batchSize: number;
  /** The views of each image by name, e.g. `{ image: augment }`; without any, none is read. */
  readonly views: Readonly<Record<string, ImageAugment>>;
  /** Side length of the images in pixels. */
  readonly size: number;
  readonly seed: number;
  /** Caption templates; the source's own by default. */
  readonly captionTemplates?: CaptionTemplates;
  /** Worker threads; 0 makes batches in the calling thread. 1 by default, 2 from 8 cores on. */
  readonly workers?: number;
  /** Batches made ahead of the one asked for; two per worker by default. */
  readonly prefetch?: number;
  /**
   * Samples that belong together, a multiple of `batchSize`, so that batches are parts of it; the
   * batch itself by default.
   */
  readonly unitSize?: number;
  /** Reads this part of every batch alone; all of it by default. */
  readonly part?: BatchPart;
  /** Drops an epoch's incomplete last unit; true by default. */
  readonly dropLast?: boolean;
  /** Most memory for decoded images in bytes; an eighth of the machine's, up to 2 GiB. */
  readonly cacheBytes?: number;
  /**
   * Shortest side that files keep when they are halved while decoding; that of `replay`, or 1.5 times
   * `size` by default.
   */
  readonly decodeSide?: number;
  /** CounterRng from a fixed number of views and captions of each record instead of ever new ones. */
  readonly replay?: Replay;
  readonly quarantine?: QuarantineOptions;
}

/** Samples for one training step. */
export interface Batch {
  /** Pixels of each view: [size, height, width, 3], RGB, uint8. */
  readonly images: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  readonly height: number;
  readonly width: number;
  /** Number of samples. */
  readonly size: number;
  readonly captions: readonly string[];
  /** Records of the source. */
  readonly indices: Int32Array;
  readonly keys: readonly string[];
  readonly epoch: number;
  /** Indices among the views and captions of {@link LoaderOptions.replay}. */
  readonly replayed?: Replayed;
  /** Start position of the batch that follows this one. */
  readonly next: Position;
}

/**
 * Endless batches of augmented images and captions. Every batch is a pure function of the
 * source, the options' `seed`, `batchSize`, `views`, `size`, `decodeSide`, `replay` and `captionTemplates`,
 * and its {@link Position}: neither the number of workers nor where the stream was started matters. A
 * broken sample is quarantined, and the one half an epoch further takes its place.
 */
export class Loader {
  readonly samplesPerEpoch: number;
  readonly batchesPerEpoch: number;
  readonly quarantine: Quarantine;
  readonly #source: Source;
  readonly #options: LoaderOptions;
  readonly #dropLast: boolean;
  readonly #prefetch: number;
  readonly #pool: WorkerPool | undefined;
  readonly #decoder: ImageDecoder | WorkerPool;
  readonly #orders = new Map<number, Int32Array>();
  /** Records whose images could not be decoded. */
  readonly #broken = new Set<number>();
  /** Of batches that are done with, for the coming ones. */
  readonly #memory = new Set<ArrayBuffer>();
  #tried = 0;
  #waitSeconds = 0;
  #closed = false;

  constructor(source: Source, options: LoaderOptions) {
    const {
      batchSize,
      views,
      size,
      captionTemplates = source.captionTemplates,
      dropLast = true,
    } = options;
    const { workers = availableParallelism() < 8 ? 1 : 2, replay } = options;
    const { decodeSide = replay?.decodeSide ?? defaultDecodeSide(size) } = options;
    checkCaptionTemplates(captionTemplates);
    requireCaptions(source);
    this.samplesPerEpoch = samplesPerEpoch(source);
    const { unitSize = batchSize } = options;
    if (unitSize % batchSize !== 0) {
      throw new BantamError(
        `Batches of ${batchSize} samples are no parts of ${unitSize}; choose a size that divides it.`,
      );
    }
    const units = this.samplesPerEpoch / unitSize;
    this.batchesPerEpoch = dropLast
      ? Math.floor(units) * (unitSize / batchSize)
      : Math.ceil(this.samplesPerEpoch / batchSize);
    if (!(batchSize >= 1) || this.batchesPerEpoch < 1) {
      throw new BantamError(
        `A batch of ${unitSize} does not fit the ${this.samplesPerEpoch} samples that an epoch of "${source.spec}" has; choose from 1 to ${this.samplesPerEpoch}.`,
      );
    }
    this.#source = source;
    this.#options = options;
    this.#dropLast = dropLast;
    this.quarantine = new Quarantine(options.quarantine);
    const { seed, cacheBytes } = options;
    const cacheSize = pixelCacheBytes(source, size, { decodeSide, cacheBytes });
    const cache = cacheSize > 0 ? PixelCache.create(source.size, cacheSize) : undefined;
    const settings: DecoderSettings = {
      views: resolveViews(views),
      seed: replay?.seed ?? seed,
      decodeSide,
      cache: cache?.memory,
    };
    this.#pool = workers > 0 ? new WorkerPool(workers, settings) : undefined;
    this.#decoder = this.#pool ?? new ImageDecoder(settings);
    this.#prefetch = this.#pool === undefined ? 1 : (options.prefetch ?? 2 * workers);
  }

  /** Seconds for which batches were awaited that were not ready yet. */
  get waitSeconds(): number {
    return this.#waitSeconds;
  }

  /** Leaves records out, as if they were broken. */
  exclude(indices: Iterable<number>): void {
    for (const index of indices) this.#broken.add(index);
  }

  /**
   * The batches from a position on, without end: epochs follow each other. The images' `size` may
   * be another than the options'.
   */
  async *batches(
    start: Partial<Position> = {},
    { size = this.#options.size }: { size?: number } = {},
  ): AsyncGenerator<Batch, never, undefined> {
    const queue: Promise<Batch>[] = [];
    let cursor: Position = { epoch: start.epoch ?? 0, position: start.position ?? 0 };
    for (;;) {
      while (queue.length < Math.max(1, this.#prefetch)) {
        const start = this.#startOf(cursor);
        const batch = this.#make(start, size);
        // A failure surfaces where the batch is awaited; until then it must not end the process.
        batch.catch(() => undefined);
        queue.push(batch);
        cursor = this.#after(start);
      }
      const began = performance.now();
      this.#pool?.hold();
      const batch = await queue.shift()?.finally(() => this.#pool?.release());
      if (batch === undefined || this.#closed) throw closedError();
      this.#waitSeconds += (performance.now() - began) / 1000;
      yield batch;
    }
  }

  /**
   * Takes the memory of a batch's images for coming ones: they must not be used any more. Without
   * it every batch is garbage of many megabytes, for which V8 collects garbage every few batches.
   */
  recycle({ images }: Batch): void {
    if (this.#closed) return;
    for (const { buffer } of Object.values(images)) {
      if (buffer.byteLength > 0) this.#memory.add(buffer);
    }
  }

  /** Ends the workers. May be called more than once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pool?.close();
  }

  /** Start of the batch at a cursor: the cursor itself, or the next epoch. */
  #startOf({ epoch, position }: Position): Position {
    const { batchSize, unitSize = batchSize } = this.#options;
    // A unit starts only if all of it follows.
    const left = this.samplesPerEpoch - (position - (position % unitSize));
    const enough = this.#dropLast ? unitSize : (position % unitSize) + 1;
    return left >= enough ? { epoch, position } : { epoch: epoch + 1, position: 0 };
  }

  #after({ epoch, position }: Position): Position {
    return this.#startOf({ epoch, position: position + this.#options.batchSize });
  }

  #order(epoch: number): Int32Array {
    let order = this.#orders.get(epoch);
    if (order === undefined) {
      order = epochOrder(this.#source, this.#options.seed, epoch);
      this.#orders.delete(epoch - 2);
      this.#orders.set(epoch, order);
    }
    return order;
  }

  async #make(start: Position, size: number): Promise<Batch> {
    if (this.#closed) throw closedError();
    const { epoch, position } = start;
    const { seed, replay, part = { index: 0, count: 1 } } = this.#options;
    const end = Math.min(position + this.#options.batchSize, this.samplesPerEpoch);
    const { start: first, length } = rowsOfPart(end - position, part);
    const candidates = Array.from({ length }, (_, i) => {
      return new Candidates(this.#order(epoch), position + first + i);
    });
    const { images } = await this.#fill({ epoch, size }, candidates);
    const indices = Int32Array.from(candidates, ({ current }) => current);
    const records = Array.from(indices, (index) => this.#source.record(index));
    // Images of several classes may show none, from which captions could be made.
    if (this.#excludeBare(indices, records)) return this.#make(start, size);
    const replayed = replay && sampleReplay(replay, { seed, epoch, indices });
    const captions = records.map((record, i) => {
      const rng = new CounterRng({
        seed: replay?.seed ?? seed,
        purpose: 'caption',
        epoch: replayed === undefined ? epoch : at(replayed.captions, i),
        index: at(indices, i),
      });
      const templates = this.#options.captionTemplates ?? templatesOf(this.#source, record);
      return sampleCaption(record, templates, rng);
    });
    return {
      images,
      height: size,
      width: size,
      size: indices.length,
      captions,
      indices,
      keys: records.map(({ key }) => key),
      epoch,
      ...(replayed && { replayed }),
      next: this.#after(start),
    };
  }

  /** Leaves records without captions out as broken; true if there are any. */
  #excludeBare(indices: Int32Array, records: readonly DataRecord[]): boolean {
    const bare = records.flatMap((record, i) =>
      hasCaptions(record) ? [] : [{ key: record.key, index: at(indices, i) }],
    );
    for (const { key, index } of bare) {
      this.#broken.add(index);
      this.quarantine.add({ key, reason: 'it has no caption' }, this.#triedSamples());
    }
    return bare.length > 0;
  }

  #triedSamples(): number {
    return Math.min(this.#tried, this.#source.size);
  }

  /** Decodes the candidates' images; a broken one is replaced by its next candidate. */
  async #fill(
    kind: { readonly epoch: number; readonly size: number },
    candidates: readonly Candidates[],
  ): Promise<DecodedImages> {
    for (const candidate of candidates) candidate.skip(this.#broken);
    const decoded = await this.#decode(kind, candidates);
    if (decoded.failures.length === 0) return decoded;
    const failed = decoded.failures.map(({ row, reason }) => {
      const candidate = at(candidates, row);
      const { key } = this.#source.record(candidate.current);
      this.#broken.add(candidate.current);
      this.quarantine.add({ key, reason }, this.#triedSamples());
      return candidate;
    });
    const replaced = await this.#fill(kind, failed);
    const bytes = kind.size ** 2 * 3;
    for (const [view, images] of Object.entries(decoded.images)) {
      for (const [i, { row }] of decoded.failures.entries()) {
        const pixels = replaced.images[view]?.subarray(i * bytes, (i + 1) * bytes);
        if (pixels !== undefined) images.set(pixels, row * bytes);
      }
    }
    return decoded;
  }

  /** Recycled memory for each view of some images; where their size changed there is none. */
  #takeMemory(samples: number, size: number): ArrayBuffer[] {
    const bytes = samples * size ** 2 * 3;
    const taken: ArrayBuffer[] = [];
    for (const buffer of this.#memory) {
      if (taken.length === Object.keys(this.#options.views).length) break;
      this.#memory.delete(buffer);
      if (buffer.byteLength === bytes) taken.push(buffer);
    }
    return taken;
  }

  #decode(
    { epoch, size }: { readonly epoch: number; readonly size: number },
    candidates: readonly Candidates[],
  ): Promise<DecodedImages> {
    this.#tried += candidates.length;
    const { seed, replay } = this.#options;
    const indices = Int32Array.from(candidates, ({ current }) => current);
    const replayed = replay && sampleReplay(replay, { seed, epoch, indices });
    const samples = Array.from(indices, (index, i) => {
      const location = this.#source.location(index);
      return { index, location, epochs: [replayed === undefined ? epoch : at(replayed.views, i)] };
    });
    return this.#decoder.decode({
      size,
      samples,
      memory: this.#takeMemory(samples.length, size),
    });
  }
}

function closedError(): BantamError {
  return new BantamError('The data loader is closed; make a new one to read on.');
}

function resolveViews(views: LoaderOptions['views']): DecoderSettings['views'] {
  return Object.fromEntries(
    Object.entries(views).map(([view, augment]) => [view, resolveAugment(augment)]),
  );
}
