import { decodeJpeg } from '@bantam/torch/image';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { loadSharp } from './load-sharp.js';
import { readLocation, type ImageLocation } from './location.js';
import type { Pixels } from './pixels.js';

export interface DecodeOptions {
  /**
   * Halve the image, up to three times, while its shortest side keeps this many pixels; JPEG
   * decoders do it for free. For training: evaluation resizes by the reference's own filter.
   */
  readonly shortestSide?: number;
}

/** Sides and pixels of images that are decoded: a file of a kilobyte can claim any size. */
const mostSide = 65_535;
const mostPixels = 2 ** 27;

/**
 * Decodes an image file to RGB: turned upright by its EXIF orientation, flattened on white, the
 * first frame of an animation, CMYK, gray and 16 bits converted. Embedded color profiles of RGB and
 * gray images are not applied, as PIL does not.
 *
 * Decisions that differ from PIL's `convert('RGB')`, as its pixels are no image that people see there:
 * transparent pixels show white (PIL shows the color that the file hides beneath them); 16-bit gray
 * is scaled to 8 bits (PIL clips at 255, so nearly all is white); CMYK goes through libvips' profile of
 * inks (PIL takes 255 − ink − black).
 *
 * @throws BantamError on truncated and corrupt files, on what is no image, and on images with sides of more
 * than 65,535 pixels or more than 2²⁷ pixels in all.
 */
export async function decodeImage(bytes: Uint8Array, options?: DecodeOptions): Promise<Pixels> {
  const pixels = decodeOrdinary(bytes, options);
  return pixels === undefined
    ? decodeAny(bytes, options)
    : { ...pixels, data: pixels.data.slice() };
}

/**
 * {@link decodeImage} for the files that training mostly reads, ordinary JPEGs, at a fraction of
 * its cost; undefined for others. The pixels must be used before anything else is decoded: they
 * lie in memory that is used again.
 */
export function decodeOrdinary(bytes: Uint8Array, options?: DecodeOptions): Pixels | undefined {
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? decodeJpeg(bytes, options) : undefined;
}

/** Images of more pixels are decoded one after the other, as each takes hundreds of megabytes. */
const mostPixelsAtOnce = 2 ** 25;
let large: Promise<unknown> = Promise.resolve();

/** Runs after all earlier work on large images. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = large.then(work);
  const forget = (): void => undefined;
  large = result.then(forget, forget);
  return result;
}

/** {@link decodeImage} for every file that can be decoded at all. */
export async function decodeAny(bytes: Uint8Array, options: DecodeOptions = {}): Promise<Pixels> {
  const sharp = await loadSharp();
  try {
    return await decodeWith(sharp, bytes, options);
  } catch (error) {
    if (error instanceof BantamError) throw error;
    // libvips writes a line for each thing that it noticed.
    const [reason] = causeOf(error).split('\n');
    throw new BantamError(`The image cannot be decoded (${reason ?? 'no reason'}).`);
  }
}

async function decodeWith(
  sharp: Awaited<ReturnType<typeof loadSharp>>,
  bytes: Uint8Array,
  { shortestSide }: DecodeOptions,
): Promise<Pixels> {
  const options = { failOn: 'truncated', pages: 1, ignoreIcc: true } as const;
  let image = sharp(bytes, options)
    .autoOrient()
    .flatten({ background: 'white' })
    .toColorspace('srgb');
  const { width, height } = (await sharp(bytes, options).metadata()).autoOrient;
  if (Math.max(width, height) > mostSide || width * height > mostPixels) {
    throw new BantamError(
      `The image has ${width} × ${height} pixels; shrink it to sides of at most ${mostSide} and ${mostPixels} pixels in all.`,
    );
  }
  if (shortestSide !== undefined) {
    const shrink = shrinkFactor(Math.min(width, height), shortestSide);
    if (shrink > 1) {
      image = image.resize(Math.ceil(width / shrink), Math.ceil(height / shrink), { fit: 'fill' });
    }
  }
  const read = async (): Promise<Pixels> => {
    const { data, info } = await image
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: toRgb(data, info.channels) };
  };
  return width * height > mostPixelsAtOnce ? inTurn(read) : read();
}

/** By how much an image shrinks for its shortest side to keep `least` pixels: 1, 2, 4 or 8. */
function shrinkFactor(side: number, least: number): number {
  return [8, 4, 2].find((factor) => Math.floor(side / factor) >= least) ?? 1;
}

/** Reads and decodes the image at a location. */
export async function decodeLocation(
  location: ImageLocation,
  options?: DecodeOptions,
): Promise<Pixels> {
  const bytes = await readLocation(location);
  return location.raw === undefined
    ? decodeImage(bytes, options)
    : { ...location.raw, data: bytes };
}

/**
 * Repeats gray, and drops what is beyond three channels. The result is no Buffer: the `slice` of
 * one is no copy.
 */
function toRgb(data: Buffer, channels: number): Uint8Array {
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let from = 0, to = 0; from < data.length; from += channels, to += 3) {
    rgb[to] = data[from] ?? 0;
    rgb[to + 1] = data[channels < 3 ? from : from + 1] ?? 0;
    rgb[to + 2] = data[channels < 3 ? from : from + 2] ?? 0;
  }
  return rgb;
}
