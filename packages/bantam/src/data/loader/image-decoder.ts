import { augmentImage, type ImageAugment } from '../augment/augment.js';
import { decodeAny, decodeOrdinary } from '../images/decode.js';
import { readLocationSync } from '../images/location.js';
import { PixelCache, type PixelCacheMemory } from './pixel-cache.js';
import type { Pixels } from '../images/pixels.js';
import { Draws } from '../counter-rng.js';
import type { ImageLocation } from '../sources/source.js';

/** What stays the same over a loader's life; plain data, for worker threads. */
export interface ProducerSettings {
  readonly views: Readonly<Record<string, ImageAugment>>;
  readonly seed: number;
  /** Shortest side that files keep when they are halved while decoding. */
  readonly decodeSide: number;
  readonly cache: PixelCacheMemory | undefined;
}

/** A record whose views are made. */
export interface ProduceSample {
  readonly index: number;
  readonly location: ImageLocation;
  /** The epochs that it is augmented for, a picture of each view for each of them. */
  readonly epochs: readonly number[];
}

/** Pictures to make. */
export interface ProduceJob {
  /** Edge of the pictures in pixels. */
  readonly size: number;
  readonly samples: readonly ProduceSample[];
  /** Memory for the pictures of some views, where it has the right length; its content is lost. */
  readonly memory?: readonly ArrayBuffer[];
}

/** A sample whose picture could not be read or decoded, by its place in the job. */
export interface ProduceFailure {
  readonly place: number;
  readonly reason: string;
}

export interface Produced {
  /** Pixels of each view: [epochs of all samples, size, size, 3]; zero where a sample failed. */
  readonly images: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  readonly failures: readonly ProduceFailure[];
}

/** Decodes and augments, from (seed, epoch, index, view) alone: any thread makes the same pixels. */
export class Producer {
  readonly #settings: ProducerSettings;
  readonly #cache: PixelCache | undefined;

  constructor(settings: ProducerSettings) {
    this.#settings = settings;
    this.#cache = settings.cache && new PixelCache(settings.cache);
  }

  async produce({ samples, size, memory = [] }: ProduceJob): Promise<Produced> {
    const { views, seed } = this.#settings;
    if (Object.keys(views).length === 0) return { images: {}, failures: [] };
    const bytes = size * size * 3;
    const firstRows: number[] = [];
    let rows = 0;
    for (const { epochs } of samples) {
      firstRows.push(rows);
      rows += epochs.length;
    }
    const images: Record<string, Uint8Array<ArrayBuffer>> = {};
    const reusable = memory.filter(({ byteLength }) => byteLength === rows * bytes);
    for (const [i, view] of Object.keys(views).entries()) {
      images[view] = new Uint8Array(reusable[i] ?? new ArrayBuffer(rows * bytes));
    }
    const failures: ProduceFailure[] = [];
    const make = async (
      place: number,
      { index, location, epochs }: ProduceSample,
    ): Promise<void> => {
      let pixels: Pixels | undefined;
      try {
        pixels = this.#cache?.get(index);
        if (pixels === undefined) {
          const bytes = readLocationSync(location);
          // Files are read, and ordinary ones decoded, to memory that the next one uses again: from
          // here on nothing may be awaited for them.
          pixels = this.#decodeAtOnce(bytes, location) ?? (await this.#decodeAny(bytes.slice()));
          this.#cache?.put(index, pixels);
        }
      } catch (error) {
        failures.push({ place, reason: error instanceof Error ? error.message : String(error) });
        const row = firstRows[place] ?? 0;
        for (const view of Object.values(images)) {
          view.fill(0, row * bytes, (row + epochs.length) * bytes);
        }
        return;
      }
      for (const [view, augment] of Object.entries(views)) {
        for (const [i, epoch] of epochs.entries()) {
          const draws = new Draws({ seed, purpose: `augment/${view}`, epoch, index });
          const row = (firstRows[place] ?? 0) + i;
          const target = images[view]?.subarray(row * bytes, (row + 1) * bytes);
          if (target === undefined) continue;
          const { data } = augmentImage(pixels, augment, { size, draws, target });
          if (data.byteOffset !== target.byteOffset || data.buffer !== target.buffer)
            target.set(data);
        }
      }
    };
    const tasks = samples.entries();
    const lane = async (): Promise<void> => {
      for (const [place, sample] of tasks) await make(place, sample);
    };
    // A few at once keep the decoder's threads busy while pixels of others are augmented.
    await Promise.all(Array.from({ length: 4 }, lane));
    return { images, failures: failures.sort((a, b) => a.place - b.place) };
  }

  #decodeAtOnce(bytes: Uint8Array, { raw }: ImageLocation): Pixels | undefined {
    if (raw !== undefined) return { ...raw, data: bytes };
    return decodeOrdinary(bytes, { shortestSide: this.#settings.decodeSide });
  }

  #decodeAny(bytes: Uint8Array): Promise<Pixels> {
    return decodeAny(bytes, { shortestSide: this.#settings.decodeSide });
  }
}
