import { causeOf } from '../../base/system-error.js';
import { at } from '../../base/at.js';
import { augmentImage } from '../augment/augment.js';
import type { ResolvedAugment } from '../augment/schema.js';
import { decodeAny, decodeOrdinary } from '../images/decode.js';
import { readLocation, readLocationSync, type ImageLocation } from '../images/location.js';
import { PixelCache, type PixelCacheMemory } from './pixel-cache.js';
import type { Pixels } from '../images/pixels.js';
import { CounterRng } from '../counter-rng.js';

/** Settings of a loader's decoders; plain data, for worker threads. */
export interface DecoderSettings {
  readonly views: Readonly<Record<string, ResolvedAugment>>;
  readonly seed: number;
  /** Shortest side that files keep when they are halved while decoding. */
  readonly decodeSide: number;
  readonly cache: PixelCacheMemory | undefined;
}

/** A record whose views are made. */
export interface DecodeSample {
  readonly index: number;
  readonly location: ImageLocation;
  /** The epochs that it is augmented for, an image of each view for each of them. */
  readonly epochs: readonly number[];
}

/** A job of an {@link ImageDecoder}. */
export interface DecodeJob {
  /** Side length of the images in pixels. */
  readonly size: number;
  readonly samples: readonly DecodeSample[];
  /** Memory for the images of some views, where it has the right length; its content is lost. */
  readonly memory?: readonly ArrayBuffer[];
}

/** A sample whose image could not be read or decoded, by its row in the job. */
export interface DecodeFailure {
  readonly row: number;
  readonly reason: string;
}

export interface DecodedImages {
  /** Pixels of each view: [epochs of all samples, size, size, 3]; zero where a sample failed. */
  readonly images: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;
  readonly failures: readonly DecodeFailure[];
}

/** A sample's rows in each view. */
type Views = readonly (readonly [view: string, rows: Uint8Array])[];

/** Decodes and augments, from (seed, epoch, index, view) alone: any thread makes the same pixels. */
export class ImageDecoder {
  readonly #settings: DecoderSettings;
  readonly #cache: PixelCache | undefined;

  constructor(settings: DecoderSettings) {
    this.#settings = settings;
    this.#cache = settings.cache && new PixelCache(settings.cache);
  }

  async decode({ samples, size, memory = [] }: DecodeJob): Promise<DecodedImages> {
    const { views } = this.#settings;
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
    const failures: DecodeFailure[] = [];
    const tasks = samples.entries();
    const worker = async (): Promise<void> => {
      for (const [row, sample] of tasks) {
        const start = at(firstRows, row) * bytes;
        const end = start + sample.epochs.length * bytes;
        const targets: Views = Object.entries(images).map(
          ([view, pixels]) => [view, pixels.subarray(start, end)] as const,
        );
        const reason = await this.#decodeSample(sample, size, targets);
        if (reason === undefined) continue;
        failures.push({ row, reason });
        for (const [, target] of targets) target.fill(0);
      }
    };
    // A few at once keep the decoder's threads busy while pixels of others are augmented.
    await Promise.all(Array.from({ length: 4 }, worker));
    return { images, failures: failures.sort((a, b) => a.row - b.row) };
  }

  /** Writes all views of a sample; returns the reason if its image cannot be read or decoded. */
  async #decodeSample(
    { index, location, epochs }: DecodeSample,
    size: number,
    targets: Views,
  ): Promise<string | undefined> {
    const { views, seed } = this.#settings;
    let pixels: Pixels | undefined;
    try {
      pixels = this.#cache?.get(index);
      if (pixels === undefined) {
        const file =
          location.page === undefined ? readLocationSync(location) : await readLocation(location);
        // Files are read, and ordinary ones decoded, to memory that the next one uses again: from
        // here on nothing may be awaited for them.
        pixels = this.#decodeAtOnce(file, location) ?? (await this.#decodeAny(file.slice()));
        this.#cache?.put(index, pixels);
      }
    } catch (error) {
      return causeOf(error);
    }
    const bytes = size * size * 3;
    for (const [view, rows] of targets) {
      const augment = views[view];
      if (augment === undefined) continue;
      for (const [i, epoch] of epochs.entries()) {
        const rng = new CounterRng({ seed, purpose: `augment/${view}`, epoch, index });
        const target = rows.subarray(i * bytes, (i + 1) * bytes);
        const { data } = augmentImage(pixels, augment, { size, rng, target });
        if (data.byteOffset !== target.byteOffset || data.buffer !== target.buffer) {
          target.set(data);
        }
      }
    }
    return undefined;
  }

  #decodeAtOnce(bytes: Uint8Array, { raw }: ImageLocation): Pixels | undefined {
    if (raw !== undefined) return { ...raw, data: bytes };
    return decodeOrdinary(bytes, { shortestSide: this.#settings.decodeSide });
  }

  #decodeAny(bytes: Uint8Array): Promise<Pixels> {
    return decodeAny(bytes, { shortestSide: this.#settings.decodeSide });
  }
}
