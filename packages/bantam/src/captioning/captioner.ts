import type { Pixels } from '../data/images/pixels.js';
import { Draws } from '../data/counter-rng.js';

/** A picture to caption. */
export interface CaptionPicture {
  /** Its place in the source. */
  readonly index: number;
  readonly key: string;
  readonly pixels: Pixels;
  /** The picture's file, where it is one. */
  readonly file?: Uint8Array;
}

/** The captions of a picture, or the reason why there are none. */
export type CaptionOutcome =
  | { readonly key: string; readonly captions: readonly string[] }
  | { readonly key: string; readonly reason: string };

export interface CaptionRequest {
  /** Captions of a picture; there may be fewer, as equal ones count once, but never none. */
  readonly count: number;
  readonly seed: number;
  /** Asks for an end: work that is not done is dropped, and the stream ends. */
  readonly signal?: AbortSignal;
}

/** What writes captions of pictures. */
export interface Captioner {
  /** Its name in the captions: `coca:NAME` or `endpoint:MODEL`. */
  readonly source: string;
  /** All that its captions depend on beside picture, `count` and `seed`. */
  readonly settings: Readonly<Record<string, string | number>>;
  /**
   * Pictures that are captioned together: so many in a row of the source, beginning at a multiple of
   * this number. They come to {@link caption} as a whole, that each picture is in the same company
   * whenever it is captioned.
   */
  readonly together: number;
  /**
   * Captions pictures in their order. A picture's captions depend on the picture, its key, `count`
   * and `seed`, and in the rounding of sums on those it is {@link together} with; never on others.
   *
   * @throws BantamError when it cannot go on; the outcomes until then hold.
   */
  caption(
    pictures: AsyncIterable<CaptionPicture>,
    request: CaptionRequest,
  ): AsyncGenerator<CaptionOutcome, void, undefined>;
}

/** The random numbers of a picture's captions: a function of seed and key alone. */
export function pictureDraws(seed: number, key: string): Draws {
  return new Draws({ seed, purpose: `caption/${key}`, epoch: 0 });
}
