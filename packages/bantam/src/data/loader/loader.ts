import { availableParallelism, totalmem } from 'node:os';
import { BantamError } from '../../base/errors.js';
import { checkAugment, type ImageAugment } from '../augment/augment.js';
import { checkRecipe, drawCaption } from '../sources/captions.js';
import { epochOrder, samplesPerEpoch, type Position } from './order.js';
import { PixelCache } from './pixel-cache.js';
import { Producer, type Produced, type ProducerSettings } from './image-decoder.js';
import { Quarantine, type QuarantineOptions } from './quarantine.js';
import { Draws } from '../counter-rng.js';
import { drawReplay, type Replay, type Replayed } from './replay.js';
import type { CaptionRecipe, Source } from '../sources/source.js';
import { WorkerPool } from './worker-pool.js';

export interface LoaderOptions {
  readonly batchSize: number;
  /** The views of each picture by name, e.g. `{ image: augment }`; without any, none is read. */
  readonly views: Readonly<Record<string, ImageAugment>>;
  /** Edge of the pictures in pixels. */
  readonly size: number;
  readonly seed: number;
  /** Caption recipe; the source's own by default. */
  readonly recipe?: CaptionRecipe;
  /** Worker threads; 0 makes batches in the calling thread. 1 by default, 2 from 8 cores on. */
  readonly workers?: number;
  /** Batches made ahead of the one asked for; two per worker by default. */
  readonly prefetch?: number;
  /**
   * Samples that belong together, a multiple of `batchSize`, so that batches are parts of it; the
   * batch itself by default.
   */
  readonly unitSize?: number;
  /** Whether an epoch's incomplete last unit is left out; true by default. */
  readonly dropLast?: boolean;
  /** Most memory for decoded pictures in bytes; an eighth of the machine's, up to 2 GiB. */
  readonly cacheBytes?: number;
  /**
   * Shortest side that files keep when they are halved while decoding; that of `replay`, or 1.5 times
   * `size` by default.
   */
  readonly decodeSide?: number;
  /** Draws from a fixed number of views and captions of each record instead of ever new ones. */
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
  /** Which of the views and captions of {@link LoaderOptions.replay} they are. */
  readonly replayed?: Replayed;
  /** Where to start to get the batches that follow this one. */
  readonly next: Position;
}

/**
 * Endless batches of augmented pictures and captions. Every batch is a pure function of the
 * source, the options' `seed`, `batchSize`, `views`, `size`, `decodeSide`, `replay` and `recipe`,
 * and its {@link Position}: neither the number of workers nor where the stream was started matters. A
 * broken sample is quarantined, and the one half an epoch further takes its place.
 */
export class Loader {
  readonly samplesPerEpoch: number;
  readonly batchesPerEpoch: number;
  readonly quarantine: Quarantine;
  readonly #source: Source;
  readonly #options: LoaderOptions;
  readonly #recipe: CaptionRecipe;
  readonly #dropLast: boolean;
  readonly #prefetch: number;
  readonly #pool: WorkerPool | undefined;
  readonly #producer: Producer | WorkerPool;
  readonly #orders = new Map<number, Int32Array>();
  /** Records whose pictures could not be decoded. */
  readonly #broken = new Set<number>();
  /** Of batches that are done with, for the coming ones. */
  readonly #memory = new Set<ArrayBuffer>();
  #tried = 0;
  #waitSeconds = 0;
  #closed = false;

  constructor(source: Source, options: LoaderOptions) {
    const { batchSize, views, size, recipe = source.recipe, dropLast = true } = options;
    const { workers = availableParallelism() < 8 ? 1 : 2, replay } = options;
    const { decodeSide = replay?.decodeSide ?? usualDecodeSide(size) } = options;
    checkRecipe(recipe);
    for (const augment of Object.values(views)) checkAugment(augment);
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
    this.#recipe = recipe;
    this.#dropLast = dropLast;
    this.quarantine = new Quarantine(options.quarantine);
    const { seed, cacheBytes } = options;
    const cache = createCache(source, pixelCacheBytes(source, size, { decodeSide, cacheBytes }));
    const settings: ProducerSettings = {
      views,
      seed: replay?.seed ?? seed,
      decodeSide,
      cache: cache?.memory,
    };
    this.#pool = workers > 0 ? new WorkerPool(workers, settings) : undefined;
    this.#producer = this.#pool ?? new Producer(settings);
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
   * The batches from a position on, without end: epochs follow each other. The pictures' `size` may
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
        const place = this.#place(cursor);
        const batch = this.#make(place, size);
        // Who awaits the batch hears of its failure; until then it must not end the process.
        batch.catch(() => undefined);
        queue.push(batch);
        cursor = this.#after(place);
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
   * Takes the memory of a batch's pictures for coming ones: they must not be used any more. Without
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

  /** The place of the batch at a cursor: itself, or the start of the next epoch. */
  #place({ epoch, position }: Position): Position {
    const { batchSize, unitSize = batchSize } = this.#options;
    // A unit is begun only where all of it follows.
    const left = this.samplesPerEpoch - (position - (position % unitSize));
    const enough = this.#dropLast ? unitSize : (position % unitSize) + 1;
    return left >= enough ? { epoch, position } : { epoch: epoch + 1, position: 0 };
  }

  #after({ epoch, position }: Position): Position {
    return this.#place({ epoch, position: position + this.#options.batchSize });
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

  async #make(place: Position, size: number): Promise<Batch> {
    if (this.#closed) throw closedError();
    const { epoch, position } = place;
    const { seed, replay } = this.#options;
    const end = Math.min(position + this.#options.batchSize, this.samplesPerEpoch);
    const candidates = Array.from({ length: end - position }, (_, i) => {
      return new Candidates(this.#order(epoch), position + i);
    });
    const { images } = await this.#fill({ epoch, size }, candidates);
    const indices = Int32Array.from(candidates, ({ current }) => current);
    const records = Array.from(indices, (index) => this.#source.record(index));
    const replayed = replay && drawReplay(replay, { seed, epoch, indices });
    const captions = records.map((record, i) => {
      const draws = new Draws({
        seed: replay?.seed ?? seed,
        purpose: 'caption',
        epoch: replayed?.captions[i] ?? epoch,
        index: indices[i] ?? 0,
      });
      return drawCaption(record, this.#recipe, draws);
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
      next: this.#after(place),
    };
  }

  /** Produces the candidates' pictures, moving on to the next candidate where one is broken. */
  async #fill(
    kind: { readonly epoch: number; readonly size: number },
    candidates: readonly Candidates[],
  ): Promise<Produced> {
    for (const candidate of candidates) candidate.skip(this.#broken);
    const produced = await this.#produce(kind, candidates);
    const failed = produced.failures.flatMap(({ place }) => candidates[place] ?? []);
    if (failed.length === 0) return produced;
    for (const { place, reason } of produced.failures) {
      const index = candidates[place]?.current ?? 0;
      this.#broken.add(index);
      const seen = Math.min(this.#tried, this.#source.size);
      this.quarantine.add({ key: this.#source.record(index).key, reason }, seen);
    }
    const replaced = await this.#fill(kind, failed);
    const bytes = kind.size ** 2 * 3;
    for (const [view, images] of Object.entries(produced.images)) {
      for (const [i, { place }] of produced.failures.entries()) {
        const pixels = replaced.images[view]?.subarray(i * bytes, (i + 1) * bytes);
        if (pixels !== undefined) images.set(pixels, place * bytes);
      }
    }
    return produced;
  }

  /** Recycled memory for each view of some pictures; where their size changed there is none. */
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

  #produce(
    { epoch, size }: { readonly epoch: number; readonly size: number },
    candidates: readonly Candidates[],
  ): Promise<Produced> {
    this.#tried += candidates.length;
    const { seed, replay } = this.#options;
    const indices = Int32Array.from(candidates, ({ current }) => current);
    const replayed = replay && drawReplay(replay, { seed, epoch, indices });
    const samples = Array.from(indices, (index, i) => {
      const location = this.#source.location(index);
      return { index, location, epochs: [replayed?.views[i] ?? epoch] };
    });
    return this.#producer.produce({
      size,
      samples,
      memory: this.#takeMemory(samples.length, size),
    });
  }
}

/** The records that may take a place in an epoch: its own, then those half an epoch further. */
class Candidates {
  #step = 0;

  constructor(
    readonly order: Int32Array,
    readonly place: number,
  ) {}

  get current(): number {
    const far = this.#step === 0 ? 0 : Math.floor(this.order.length / 2) + this.#step - 1;
    return this.order[(this.place + far) % this.order.length] ?? 0;
  }

  /** Moves on until the current record is not broken. */
  skip(broken: ReadonlySet<number>): void {
    while (broken.has(this.current)) {
      if (++this.#step > this.order.length) {
        throw new BantamError('Every sample of the data set is broken; see the quarantine.');
      }
    }
  }
}

/** {@link LoaderOptions.decodeSide} for pictures of a size: crops of them need not be enlarged. */
export function usualDecodeSide(size: number): number {
  return Math.ceil(size * 1.5);
}

function closedError(): BantamError {
  return new BantamError('The data loader is closed; make a new one to read on.');
}

/**
 * The most bytes in which a {@link Loader} keeps decoded pictures of a source, for training on
 * pictures of `size` pixels.
 */
export function pixelCacheBytes(
  source: Source,
  size: number,
  {
    decodeSide = usualDecodeSide(size),
    cacheBytes = Math.min(2 ** 31, totalmem() / 8),
  }: { decodeSide?: number; cacheBytes?: number | undefined } = {},
): number {
  const raw = source.location(0).raw;
  // Files shrink to less than twice the side; twice a square leaves room for wide and tall ones.
  const bytes = raw === undefined ? (2 * decodeSide) ** 2 * 6 : raw.width * raw.height * 3;
  return Math.floor(Math.min(cacheBytes, source.size * (bytes + 64)));
}

function createCache(source: Source, bytes: number): PixelCache | undefined {
  return bytes > 0 ? PixelCache.create(source.size, bytes) : undefined;
}
