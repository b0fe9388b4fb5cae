/**
 * `@bantam/torch/image`: decoding and resizing of images. It needs no libtorch and loads at once,
 * in worker threads as well. Images are RGB, uint8, rows from the top, channels innermost.
 */
import { createRequire } from 'node:module';
import { addonFailure } from './addon-failure.js';
import { TorchError } from './errors.js';

/** The addon's functions; `native/image/addon.cc` says what each does. */
interface NativeImage {
  decodeJpeg(bytes: Uint8Array, shortestSide: number, target: Uint8Array): number;
  resample(data: Uint8Array, geometry: Int32Array, target: Uint8Array): void;
  readonly hasJpeg: boolean;
  readonly bestForm: number;
  readonly instructionLimitError: string;
}

function load(): NativeImage {
  const require = createRequire(import.meta.url);
  let addon: NativeImage;
  try {
    addon = require('../build/bantam_image.node') as NativeImage;
  } catch (error) {
    throw addonFailure(error);
  }
  if (addon.instructionLimitError !== '') throw new TorchError(addon.instructionLimitError);
  return addon;
}

const native = load();

/** True if {@link decodeJpeg} decodes: the addon was built with libjpeg-turbo. */
export const hasJpegDecoder: boolean = native.hasJpeg;

/** How {@link resampleRgb} computes: in plain C++, with AVX2, or with AVX-512 (VNNI and VBMI). */
export type ResampleForm = 'plain' | 'avx2' | 'avx512';

const everyForm: readonly ResampleForm[] = ['plain', 'avx2', 'avx512'];

/** The implementations that this CPU, the build and `BANTAM_MAX_ISA` allow; the last is the fastest. All give the same bytes. */
export const resampleForms: readonly ResampleForm[] = everyForm.slice(0, native.bestForm + 1);

/** An image of `width` × `height` pixels, [height, width, 3]. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Memory that images are decoded to; it grows with them, up to a limit. */
let scratch = new Uint8Array(0);
const mostScratch = 2 ** 26;

/** Larger images are left to the general decoder, which may refuse them. */
const mostPixels = 2 ** 27;

/** Options of {@link decodeJpeg}. */
export interface DecodeJpegOptions {
  /**
   * The image is shrunk by 2, 4 or 8 (in the decoder's cosine transform, which is fast) while its
   * shortest side keeps this many pixels; 0, the default, means never.
   */
  readonly shortestSide?: number;
}

/**
 * Decodes an ordinary JPEG file: RGB or grey, upright, undamaged. Returns undefined for every other
 * file, and where the addon was built without libjpeg-turbo ({@link hasJpegDecoder}); a more
 * general decoder must then look at it.
 *
 * The pixels are those of libjpeg-turbo's accurate transform with smooth chroma, as PIL has them.
 * **They are in memory that the next call reuses**: copy what is to be kept.
 */
export function decodeJpeg(
  bytes: Uint8Array,
  { shortestSide = 0 }: DecodeJpegOptions = {},
): RgbImage | undefined {
  for (let target = scratch; ;) {
    const size = native.decodeJpeg(bytes, shortestSide, target);
    const width = size >>> 16;
    const height = size & 0xffff;
    if (size === 0 || width * height > mostPixels) return undefined;
    const length = width * height * 3;
    if (length <= target.length) return { width, height, data: target.subarray(0, length) };
    target = new Uint8Array(length);
    if (length <= mostScratch) scratch = target;
  }
}

/** Options of {@link resampleRgb}. */
export interface ResampleRgbOptions {
  readonly width: number;
  readonly height: number;
  readonly interpolation: 'bicubic' | 'bilinear';
  /** Widen the filter by the scale of downsampling. Default true. */
  readonly antialias?: boolean;
  /** The part of the image to resize, in whole pixels; all of it by default. */
  readonly box?: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  /** Memory for the result, which may be the image's own; new memory by default. */
  readonly target?: Uint8Array;
  /** One of {@link resampleForms}; the fastest by default. */
  readonly form?: ResampleForm;
}

/**
 * Resizes an image by convolution, rows first, in the fixed-point arithmetic of PIL's
 * `Image.resize`, bit for bit: weights with 22 fractional bits, sums rounded and clamped to uint8
 * after each pass. A pass that would change nothing is left out.
 *
 * @returns [height, width, 3]
 * @throws RangeError where the box is empty or not inside the image, or the result has no room.
 */
export function resampleRgb(image: RgbImage, options: ResampleRgbOptions): Uint8Array {
  const { width, height, interpolation, antialias = true, form } = options;
  const box = options.box ?? { left: 0, top: 0, width: image.width, height: image.height };
  const length = width * height * 3;
  const { target = new Uint8Array(length) } = options;
  const geometry = Int32Array.of(
    ...[image.width, image.height, box.left, box.top, box.width, box.height, width, height],
    ...[interpolation === 'bicubic', antialias].map(Number),
    form === undefined ? native.bestForm : everyForm.indexOf(form),
  );
  const inside =
    box.left >= 0 &&
    box.top >= 0 &&
    box.left + box.width <= image.width &&
    box.top + box.height <= image.height;
  const some = Math.min(box.width, box.height, width, height) >= 1;
  const held = image.data.length >= image.width * image.height * 3;
  if (!inside || !some || !held || target.length < length) {
    throw new RangeError(
      `A box of ${box.width} × ${box.height} at (${box.left}, ${box.top}) of ${image.width} × ${image.height} pixels (${image.data.length} bytes) cannot be resized to ${width} × ${height} (${target.length} bytes).`,
    );
  }
  native.resample(image.data, geometry, target);
  return target.subarray(0, length);
}
