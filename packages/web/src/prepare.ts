import { at, evalGeometry, resampleWindow } from 'bantam/portable';
import type { ImagePreprocess, RgbImage } from './types.js';

/**
 * An image as the model wants it: resized and cropped in PIL's arithmetic, then (x/255 − mean)/std
 * per channel. Every value is the one that Bantam computes, bit for bit.
 *
 * @returns [3, size, size]
 */
export function prepareImage(image: RgbImage, preprocess: ImagePreprocess): Float32Array {
  const { size, interpolation, antialias } = preprocess;
  const { width, height, window } = evalGeometry(image, preprocess);
  const { data } = resampleWindow(image, { width, height, interpolation, antialias }, window);
  return normalizePixels(data, preprocess, size * size);
}

/** RGB, channels innermost, as numbers around zero, channel after channel. */
function normalizePixels(
  data: Uint8Array,
  { mean, std }: ImagePreprocess,
  plane: number,
): Float32Array {
  const result = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const levels = levelsOf(at(mean, channel), at(std, channel));
    for (let i = 0, from = channel, to = channel * plane; i < plane; i++, from += 3) {
      result[to++] = levels[data[from] ?? 0] ?? 0;
    }
  }
  return result;
}

/** The number of each of the 256 levels, in float32 arithmetic. */
function levelsOf(mean: number, std: number): Float32Array {
  const middle = Math.fround(255 * mean);
  const spread = Math.fround(255 * std);
  return Float32Array.from({ length: 256 }, (_, level) => Math.fround(level - middle) / spread);
}
