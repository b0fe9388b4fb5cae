import type { Box, Pixels } from './pixels.js';

export interface ResampleOptions {
  readonly width: number;
  readonly height: number;
  readonly interpolation: 'bicubic' | 'bilinear';
  /** Whether the filter is widened by the factor of shrinking; true by default. */
  readonly antialias?: boolean;
  /** The part of the picture to resize; all of it by default. */
  readonly box?: Box;
}

/** Bits behind the binary point of the integer weights: 8 bits of pixel, 2 of headroom, of 32. */
const fractionBits = 22;
const half = 1 << (fractionBits - 1);

interface Kernel {
  readonly radius: number;
  readonly weight: (distance: number) => number;
}

const kernels: Readonly<Record<ResampleOptions['interpolation'], Kernel>> = {
  bilinear: { radius: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { radius: 2, weight: keysCubic },
};

/** Cubic convolution with a = -1/2 (Keys, 1981). */
function keysCubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** For each output position: the first input position, how many, and their integer weights. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** Row-major [outputs, most]. */
  readonly weights: Int32Array;
  readonly most: number;
}

/** Taps of recent (sizes, kernel): a data set asks for the same few again and again. */
const recentTaps = new Map<string, Taps>();

function tapsFor(from: number, to: number, options: ResampleOptions): Taps {
  const { interpolation, antialias = true } = options;
  const name = `${from} ${to} ${interpolation} ${antialias}`;
  let taps = recentTaps.get(name);
  if (taps === undefined) {
    if (recentTaps.size >= 256) recentTaps.clear();
    taps = computeTaps(from, to, kernels[interpolation], antialias);
    recentTaps.set(name, taps);
  }
  return taps;
}

function computeTaps(from: number, to: number, kernel: Kernel, antialias: boolean): Taps {
  const scale = from / to;
  const stretch = antialias ? Math.max(1, scale) : 1;
  const reach = kernel.radius * stretch;
  const most = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const weights = new Int32Array(to * most);
  const real = new Float64Array(most);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(from, Math.trunc(centre + reach + 0.5));
    let total = 0;
    for (let j = low; j < high; j++) {
      const weight = kernel.weight((j - centre + 0.5) * (1 / stretch));
      real[j - low] = weight;
      total += weight;
    }
    for (let j = 0; j < high - low; j++) {
      const weight = total === 0 ? 0 : (real[j] ?? 0) * (1 / total);
      weights[i * most + j] = Math.trunc(weight * 2 ** fractionBits + (weight < 0 ? -0.5 : 0.5));
    }
    first[i] = low;
    count[i] = high - low;
  }
  return { first, count, weights, most };
}

/**
 * Resizes a picture by convolution, rows first, in the fixed-point arithmetic of PIL's
 * `Image.resize`, bit for bit: weights with 22 fractional bits, sums rounded and clamped to uint8
 * after each pass. A pass that would change nothing is left out.
 */
export function resample(pixels: Pixels, options: ResampleOptions): Pixels {
  const { width, height } = options;
  const box = options.box ?? { left: 0, top: 0, width: pixels.width, height: pixels.height };
  const rows = resampleRows(pixels, box, options);
  return height === box.height
    ? { width, height, data: rows }
    : { width, height, data: resampleColumns(rows, box.height, options) };
}

/** The horizontal pass over the box: [box.height, width, 3]. */
function resampleRows(pixels: Pixels, box: Box, options: ResampleOptions): Uint8Array {
  const { data } = pixels;
  const { width } = options;
  const result = new Uint8ClampedArray(box.height * width * 3);
  if (width === box.width) {
    for (let y = 0; y < box.height; y++) {
      const start = ((box.top + y) * pixels.width + box.left) * 3;
      result.set(data.subarray(start, start + width * 3), y * width * 3);
    }
    return asBytes(result);
  }
  const { first, count, weights, most } = tapsFor(box.width, width, options);
  let to = 0;
  for (let y = 0; y < box.height; y++) {
    const row = ((box.top + y) * pixels.width + box.left) * 3;
    for (let x = 0; x < width; x++) {
      const start = row + (first[x] ?? 0) * 3;
      const end = start + (count[x] ?? 0) * 3;
      let tap = x * most;
      let red = half;
      let green = half;
      let blue = half;
      for (let at = start; at < end; at += 3) {
        const weight = weights[tap++] ?? 0;
        red = (red + Math.imul(data[at] ?? 0, weight)) | 0;
        green = (green + Math.imul(data[at + 1] ?? 0, weight)) | 0;
        blue = (blue + Math.imul(data[at + 2] ?? 0, weight)) | 0;
      }
      result[to++] = red >> fractionBits;
      result[to++] = green >> fractionBits;
      result[to++] = blue >> fractionBits;
    }
  }
  return asBytes(result);
}

/** The vertical pass: [rows, width, 3] to [height, width, 3]. */
function resampleColumns(data: Uint8Array, rows: number, options: ResampleOptions): Uint8Array {
  const { width, height } = options;
  const stride = width * 3;
  const result = new Uint8ClampedArray(height * stride);
  const { first, count, weights, most } = tapsFor(rows, height, options);
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    const taps = count[y] ?? 0;
    // Four rows at a time: fewer passes over the sums.
    for (let tap = 0; tap < taps; tap += 4) {
      const at = y * most + tap;
      const row0 = ((first[y] ?? 0) + tap) * stride;
      const row1 = tap + 1 < taps ? row0 + stride : row0;
      const row2 = tap + 2 < taps ? row1 + stride : row0;
      const row3 = tap + 3 < taps ? row2 + stride : row0;
      const weight0 = weights[at] ?? 0;
      const weight1 = tap + 1 < taps ? (weights[at + 1] ?? 0) : 0;
      const weight2 = tap + 2 < taps ? (weights[at + 2] ?? 0) : 0;
      const weight3 = tap + 3 < taps ? (weights[at + 3] ?? 0) : 0;
      for (let x = 0; x < stride; x++) {
        const upper =
          Math.imul(data[row0 + x] ?? 0, weight0) + Math.imul(data[row1 + x] ?? 0, weight1);
        const lower =
          Math.imul(data[row2 + x] ?? 0, weight2) + Math.imul(data[row3 + x] ?? 0, weight3);
        sums[x] = ((sums[x] ?? 0) + upper + lower) | 0;
      }
    }
    const to = y * stride;
    for (let x = 0; x < stride; x++) result[to + x] = (sums[x] ?? 0) >> fractionBits;
  }
  return asBytes(result);
}

function asBytes(clamped: Uint8ClampedArray<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(clamped.buffer, clamped.byteOffset, clamped.length);
}
