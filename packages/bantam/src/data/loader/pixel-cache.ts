import { totalmem } from 'node:os';
import { at } from '../../base/at.js';
import type { Source } from '../sources/source.js';
import type { Pixels } from '../images/pixels.js';

/** Memory is handed out in blocks of this many bytes, so that 32 bits number them all. */
const blockBytes = 64;

/** The shared memory of a {@link PixelCache}, to hand to another thread. */
export interface PixelCacheMemory {
  /** Per record: number of its first block plus one (0 while absent), width, height. */
  readonly table: SharedArrayBuffer;
  /** Number of blocks handed out. */
  readonly used: SharedArrayBuffer;
  readonly pixels: SharedArrayBuffer;
}

/**
 * Decoded images by record in memory that threads share. Nothing is ever evicted: once the
 * memory is full, further images are decoded each time.
 */
export class PixelCache {
  readonly #table: Int32Array;
  readonly #used: Int32Array;
  readonly #pixels: Uint8Array;

  constructor(readonly memory: PixelCacheMemory) {
    this.#table = new Int32Array(memory.table);
    this.#used = new Int32Array(memory.used);
    this.#pixels = new Uint8Array(memory.pixels);
  }

  /** A cache for `records` images in at most `bytes` bytes, which are only taken once filled. */
  static create(records: number, bytes: number): PixelCache {
    return new PixelCache({
      table: new SharedArrayBuffer(records * 12),
      used: new SharedArrayBuffer(4),
      pixels: new SharedArrayBuffer(bytes),
    });
  }

  /** A record's image, which must not be written to. */
  get(record: number): Pixels | undefined {
    const block = Atomics.load(this.#table, record * 3);
    if (block === 0) return undefined;
    const width = at(this.#table, record * 3 + 1);
    const height = at(this.#table, record * 3 + 2);
    const start = (block - 1) * blockBytes;
    return { width, height, data: this.#pixels.subarray(start, start + width * height * 3) };
  }

  /** Keeps an image if there is room. */
  put(record: number, { width, height, data }: Pixels): void {
    const blocks = Math.ceil(data.length / blockBytes);
    const room = Math.floor(this.#pixels.length / blockBytes);
    if (Atomics.load(this.#used, 0) + blocks > room) return;
    const block = Atomics.add(this.#used, 0, blocks);
    if (block + blocks > room) return;
    this.#pixels.set(data, block * blockBytes);
    this.#table[record * 3 + 1] = width;
    this.#table[record * 3 + 2] = height;
    Atomics.store(this.#table, record * 3, block + 1);
  }
}

/** Default `decodeSide` for images of a size: crops of them need not be enlarged. */
export function defaultDecodeSide(size: number): number {
  return Math.ceil(size * 1.5);
}

/** Default `cacheBytes`: 2 GiB, but at most an eighth of so many GB; 0: of the machine's memory. */
export function pixelCacheLimit(memory = 0): number {
  return Math.min(2 ** 31, (memory > 0 ? memory * 1e9 : totalmem()) / 8);
}

/**
 * The most bytes in which a loader keeps decoded images of a source, for training on
 * images of `size` pixels.
 */
export function pixelCacheBytes(
  source: Pick<Source, 'size' | 'location'>,
  size: number,
  {
    decodeSide = defaultDecodeSide(size),
    cacheBytes = pixelCacheLimit(),
  }: { decodeSide?: number; cacheBytes?: number | undefined } = {},
): number {
  const raw = source.location(0).raw;
  // Files shrink to less than twice the side; twice a square leaves room for wide and tall ones.
  const bytes = raw === undefined ? (2 * decodeSide) ** 2 * 6 : raw.width * raw.height * 3;
  return Math.floor(Math.min(cacheBytes, source.size * (bytes + 64)));
}
