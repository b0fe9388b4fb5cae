import type { Box, Pixels } from './pixels.js';

/** Bits behind the binary point of the weights, as in PIL. */
const fractionBits = 22;
const half = 2 ** (fractionBits - 1);

/** How {@link resampleWindow} resizes the whole image. */
export interface WindowOptions {
  readonly width: number;
  readonly height: number;
  readonly interpolation: 'bicubic' | 'bilinear';
  /** Widens the filter by the factor of shrinking; true by default. */
  readonly antialias?: boolean;
}

/** The input positions of each output position, and their integer weights. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** Rows of `most` weights. */
  readonly weights: Int32Array;
  readonly most: number;
}

/**
 * A window of an image resized as PIL's `Image.resize` does, without making the rest: in every bit
 * what a crop of the whole result would be. It runs wherever JavaScript does; in Node it is for long
 * and thin images, whose whole result would be thousands of times as large as the window.
 */
export function resampleWindow(
  { width, height, data }: Pixels,
  options: WindowOptions,
  window: Box,
): Pixels {
  const { left, top, width: columns, height: rows } = window;
  const across = tapsOf(width, options.width, { ...options, start: left, count: columns });
  const down = tapsOf(height, options.height, { ...options, start: top, count: rows });
  const firstRow = down.first.reduce((least, row) => Math.min(least, row), height);
  const endRow = down.first.reduce((most, row, i) => Math.max(most, row + (down.count[i] ?? 0)), 0);
  const narrow = new Uint8Array((endRow - firstRow) * columns * 3);
  for (let y = firstRow; y < endRow; y++) {
    const row = data.subarray(y * width * 3, (y + 1) * width * 3);
    resampleRow(row, across, narrow.subarray((y - firstRow) * columns * 3));
  }
  const stride = columns * 3;
  const result = new Uint8Array(rows * stride);
  for (let y = 0; y < rows; y++) {
    const from = narrow.subarray(((down.first[y] ?? 0) - firstRow) * stride);
    const count = down.count[y] ?? 0;
    const weights = down.weights.subarray(y * down.most, y * down.most + count);
    resampleColumns(from, weights, result.subarray(y * stride, (y + 1) * stride));
  }
  return { width: columns, height: rows, data: result };
}

// The sums fit into 32 bits: 8 of a pixel, 22 of a weight, and the weights' sizes add up to less
// than twice their sum.

function resampleRow(
  from: Uint8Array,
  { first, count, weights, most }: Taps,
  to: Uint8Array,
): void {
  for (let x = 0; x < first.length; x++) {
    let red = half;
    let green = half;
    let blue = half;
    let pixel = (first[x] ?? 0) * 3;
    const start = x * most;
    const end = start + (count[x] ?? 0);
    for (let tap = start; tap < end; tap++, pixel += 3) {
      const weight = weights[tap] ?? 0;
      red = (red + Math.imul(from[pixel] ?? 0, weight)) | 0;
      green = (green + Math.imul(from[pixel + 1] ?? 0, weight)) | 0;
      blue = (blue + Math.imul(from[pixel + 2] ?? 0, weight)) | 0;
    }
    to[x * 3] = clamp(red);
    to[x * 3 + 1] = clamp(green);
    to[x * 3 + 2] = clamp(blue);
  }
}

/** One output row: the rows of its length that `from` starts with, weighted. */
function resampleColumns(from: Uint8Array, weights: Int32Array, to: Uint8Array): void {
  const stride = to.length;
  for (let x = 0; x < stride; x++) {
    let sum = half;
    for (let tap = 0, at = x; tap < weights.length; tap++, at += stride) {
      sum = (sum + Math.imul(from[at] ?? 0, weights[tap] ?? 0)) | 0;
    }
    to[x] = clamp(sum);
  }
}

function clamp(sum: number): number {
  const value = sum >> fractionBits;
  return value < 0 ? 0 : value > 255 ? 255 : value;
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
  }: Pick<WindowOptions, 'interpolation' | 'antialias'> & { start: number; count: number },
): Taps {
  const scale = given / size;
  const stretch = antialias ? Math.max(1, scale) : 1;
  const isCubic = interpolation === 'bicubic';
  const reach = (isCubic ? 2 : 1) * stretch;
  const most = Math.ceil(reach) * 2 + 1;
  const taps = {
    first: new Int32Array(count),
    count: new Int32Array(count),
    weights: new Int32Array(count * most),
    most,
  };
  for (let i = 0; i < count; i++) {
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(given, Math.trunc(centre + reach + 0.5));
    const values = Array.from({ length: high - low }, (_, j) => {
      const x = (low + j - centre + 0.5) * (1 / stretch);
      return isCubic ? keysCubic(x) : Math.max(0, 1 - Math.abs(x));
    });
    let total = 0;
    for (const value of values) total += value;
    taps.first[i] = low;
    taps.count[i] = high - low;
    for (const [j, value] of values.entries()) {
      const weight = total === 0 ? 0 : value * (1 / total);
      taps.weights[i * most + j] = Math.trunc(
        weight * 2 ** fractionBits + (weight < 0 ? -0.5 : 0.5),
      );
    }
  }
  return taps;
}

/** Cubic convolution with a = −1/2 (Keys, 1981). */
function keysCubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
