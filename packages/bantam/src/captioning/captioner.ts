import type { Pixels } from '../data/images/pixels.js';
import { CounterRng } from '../data/counter-rng.js';

/** An image to caption. */
export interface CaptionImage {
  /** Its index in the source. */
  readonly index: number;
  readonly key: string;
  readonly pixels: Pixels;
  /** The image's file, where it is one. */
  readonly file?: Uint8Array;
}

/** The captions of an image, or the reason why there are none. */
export type CaptionOutcome =
  | { readonly key: string; readonly captions: readonly string[] }
  | { readonly key: string; readonly reason: string };

export interface CaptionRequest {
  /** Captions of an image; there may be fewer, as equal ones count once, but never none. */
  readonly count: number;
  readonly seed: number;
  /** Asks for an end: work that is not done is dropped, and the stream ends. */
  readonly signal?: AbortSignal;
}

/** A writer of captions of images. */
export interface Captioner {
  /** Its name in the captions: `coca:NAME` or `endpoint:MODEL`. */
  readonly source: string;
  /** All that its captions depend on beside image, `count` and `seed`. */
  readonly settings: Readonly<Record<string, string | number>>;
  /**
   * Images that are captioned together: so many in a row of the source, beginning at a multiple of
   * this number. They come to {@link caption} as a whole, that each image is in the same company
   * whenever it is captioned.
   */
  readonly together: number;
  /**
   * Captions images in their order. An image's captions depend on the image, its key, `count`
   * and `seed`, and in the rounding of sums on those it is {@link together} with; never on others.
   *
   * @throws BantamError when it cannot go on; the outcomes until then hold.
   */
  caption(
    images: AsyncIterable<CaptionImage>,
    request: CaptionRequest,
  ): AsyncGenerator<CaptionOutcome, void, undefined>;
}

/** The random numbers of an image's captions: a function of seed and key alone. */
export function imageRng(seed: number, key: string): CounterRng {
  return new CounterRng({ seed, purpose: `caption/${key}`, epoch: 0 });
}
