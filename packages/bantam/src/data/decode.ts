import sharp from 'sharp';
import { readLocation } from './location.js';
import type { Pixels } from './pixels.js';
import type { ImageLocation } from './source.js';

export interface DecodeOptions {
  /**
   * Shrink so that the shortest side has at most this many pixels; JPEG decoders do most of it for
   * free. For training: evaluation resizes by the reference's own filter.
   */
  readonly shortestSide?: number;
}

/**
 * Decodes an image file to RGB: turned upright by its EXIF orientation, flattened on white, the
 * first frame of an animation, CMYK, grey and 16 bits converted. Embedded colour profiles are not
 * applied, as PIL does not. Throws on truncated or corrupt files.
 */
export async function decodeImage(
  bytes: Uint8Array,
  { shortestSide }: DecodeOptions = {},
): Promise<Pixels> {
  let image = sharp(bytes, { failOn: 'truncated', pages: 1, ignoreIcc: true })
    .autoOrient()
    .flatten({ background: 'white' })
    .toColourspace('srgb');
  if (shortestSide !== undefined) {
    const outside = { fit: 'outside', withoutEnlargement: true } as const;
    image = image.resize(shortestSide, shortestSide, outside);
  }
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: toRgb(data, info.channels) };
}

/** Reads and decodes the picture at a location. */
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
 * Repeats grey, and drops what is beyond three channels. The result is no Buffer: the `slice` of
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
