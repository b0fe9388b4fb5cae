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
 * Decoded pictures by record in memory that threads share. Nothing is ever evicted: once the
 * memory is full, further pictures are decoded each time.
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

  /** A cache for `records` pictures in at most `bytes` bytes, which are only taken once filled. */
  static create(records: number, bytes: number): PixelCache {
    return new PixelCache({
      table: new SharedArrayBuffer(records * 12),
      used: new SharedArrayBuffer(4),
      pixels: new SharedArrayBuffer(bytes),
    });
  }

  /** A record's picture, which must not be written to. */
  get(record: number): Pixels | undefined {
    const place = Atomics.load(this.#table, record * 3);
    if (place === 0) return undefined;
    const width = this.#table[record * 3 + 1] ?? 0;
    const height = this.#table[record * 3 + 2] ?? 0;
    const start = (place - 1) * blockBytes;
    return { width, height, data: this.#pixels.subarray(start, start + width * height * 3) };
  }

  /** Keeps a picture if there is room. */
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
