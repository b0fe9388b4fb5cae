import { resampleRgb } from '@bantam/torch/image';
import type { Box, Pixels } from './pixels.js';

export interface ResampleOptions {
  readonly width: number;
  readonly height: number;
  readonly interpolation: 'bicubic' | 'bilinear';
  /** Widens the filter by the factor of shrinking; true by default. */
  readonly antialias?: boolean;
  /** The part of the image to resize; all of it by default. */
  readonly box?: Box;
  /** Memory for the result; new memory by default. */
  readonly target?: Uint8Array;
}

/** Resizes an image as PIL's `Image.resize` does, bit for bit. */
export function resample(pixels: Pixels, options: ResampleOptions): Pixels {
  const { width, height } = options;
  return { width, height, data: resampleRgb(pixels, options) };
}
