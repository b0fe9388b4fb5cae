import { at } from '../../base/at.js';
import type { Box, Pixels } from './pixels.js';
import type { ResampleOptions } from './resample.js';

/** Bits behind the binary point of the weights, as in PIL. */
const fractionBits = 22;

/** Weights of one output pixel, for the input pixels from `first` on. */
interface Taps {
  readonly first: number;
  readonly weights: Int32Array;
}

/**
 * A window of the result of {@link resample}, without making the rest: in every bit what a crop of the
 * whole result would be. For long and thin images, whose whole result would be thousands of times as
 * large as the window.
 */
export function resampleWindow(
  { width, height, data }: Pixels,
  options: Omit<ResampleOptions, 'box' | 'target'>,
  window: Box,
): Pixels {
  const columns = tapsOf(width, options.width, {
    ...options,
    start: window.left,
    count: window.width,
  });
  const rows = tapsOf(height, options.height, {
    ...options,
    start: window.top,
    count: window.height,
  });
  const firstRow = Math.min(...rows.map(({ first }) => first));
  const endRow = Math.max(...rows.map(({ first, weights }) => first + weights.length));
  const stride = window.width * 3;
  const narrow = new Uint8Array((endRow - firstRow) * stride);
  for (let y = firstRow, to = 0; y < endRow; y++) {
    for (const { first, weights } of columns) {
      const from = (y * width + first) * 3;
      for (let c = 0; c < 3; c++) narrow[to++] = weigh(data, { from: from + c, step: 3, weights });
    }
  }
  const result = new Uint8Array(window.height * stride);
  let to = 0;
  for (const { first, weights } of rows) {
    const from = (first - firstRow) * stride;
    for (let x = 0; x < stride; x++) {
      result[to++] = weigh(narrow, { from: from + x, step: stride, weights });
    }
  }
  return { width: window.width, height: window.height, data: result };
}

function weigh(
  data: Uint8Array,
  { from, step, weights }: { from: number; step: number; weights: Int32Array },
): number {
  let sum = 2 ** (fractionBits - 1);
  for (let i = 0, index = from; i < weights.length; i++, index += step) {
    sum += at(data, index) * at(weights, i);
  }
  return Math.min(255, Math.max(0, sum >> fractionBits));
}

/** The weights of `count` output pixels from `start` on, of an input resized to `size` pixels. */
function tapsOf(
  given: number,
  size: number,
  {
    interpolation,
    antialias = true,
    start,
    count,
  }: Pick<ResampleOptions, 'interpolation' | 'antialias'> & { start: number; count: number },
): Taps[] {
  const scale = given / size;
  const stretch = antialias ? Math.max(1, scale) : 1;
  const isCubic = interpolation === 'bicubic';
  const reach = (isCubic ? 2 : 1) * stretch;
  return Array.from({ length: count }, (_, i) => {
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(given, Math.trunc(centre + reach + 0.5));
    const values = Array.from({ length: high - low }, (_, j) => {
      const x = (low + j - centre + 0.5) * (1 / stretch);
      return isCubic ? keysCubic(x) : Math.max(0, 1 - Math.abs(x));
    });
    let total = 0;
    for (const value of values) total += value;
    const weights = Int32Array.from(values, (value) => {
      const weight = total === 0 ? 0 : value * (1 / total);
      return Math.trunc(weight * 2 ** fractionBits + (weight < 0 ? -0.5 : 0.5));
    });
    return { first: low, weights };
  });
}

/** Cubic convolution with a = −1/2 (Keys, 1981). */
function keysCubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
