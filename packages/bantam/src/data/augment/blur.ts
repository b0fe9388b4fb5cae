/** Blurring and sharpening, in place, on RGB pixels; the arithmetic is PIL's, in every bit. */
import { blend } from './color.js';
import type { Pixels } from '../images/pixels.js';
import { scratch } from './scratch.js';

/** A running mean over 2 · radius + 1 pixels of weight `inner` and one of `outer` on either side. */
interface Box {
  readonly radius: number;
  /** Weights in 2⁻²⁴. */
  readonly inner: number;
  readonly outer: number;
}

/**
 * The box that, applied three times, has the variance of a Gaussian of standard deviation `sigma`:
 * Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box filtering",
 * SSVM 2011, equations 7, 11 and 14; in single precision, as PIL computes it.
 */
function boxFor(sigma: number): Box {
  const { fround } = Math;
  const given = fround(sigma);
  const variance = fround(fround(given * given) / 3);
  const length = fround(Math.sqrt(12 * variance + 1));
  const radius = Math.floor((length - 1) / 2);
  const next = (radius + 1) * (radius + 1);
  const above = fround(radius * (radius + 1) - fround(3 * variance));
  const part = fround(fround((2 * radius + 1) * above) / fround(6 * fround(variance - next)));
  const whole = fround(radius + part);
  const inner = Math.trunc(fround(2 ** 24 / fround(fround(whole * 2) + 1)));
  return { radius, inner, outer: Math.floor((2 ** 24 - (2 * radius + 1) * inner) / 2) };
}

function blurRows(to: Uint8Array, from: Uint8Array, width: number, box: Box): void {
  const { radius, inner, outer } = box;
  const last = (width - 1) * 3;
  const reach = radius * 3;
  // The columns for which no index that is read is out of range.
  const first = Math.min(reach + 3, last + 3);
  const end = Math.max(last - reach, first);
  for (let row = 0; row < from.length; row += width * 3) {
    for (let c = row; c < row + 3; c++) {
      // The sum of the box around the index before the first; edges are repeated.
      let sum = (from[c] ?? 0) * (radius + 1);
      for (let x = 0; x < reach; x += 3) sum += from[c + Math.min(x, last)] ?? 0;
      const left = from[c] ?? 0;
      for (let x = 0; x < first; x += 3) {
        sum += (from[c + Math.min(x + reach, last)] ?? 0) - left;
        const far = left + (from[c + Math.min(x + reach + 3, last)] ?? 0);
        to[c + x] = weigh(sum, inner, far, outer);
      }
      for (let i = c + first; i < c + end; i += 3) {
        const before = from[i - reach - 3] ?? 0;
        sum += (from[i + reach] ?? 0) - before;
        to[i] = weigh(sum, inner, before + (from[i + reach + 3] ?? 0), outer);
      }
      const right = from[c + last] ?? 0;
      for (let x = end; x <= last; x += 3) {
        const before = from[c + x - reach - 3] ?? 0;
        sum += (from[c + Math.min(x + reach, last)] ?? 0) - before;
        to[c + x] = weigh(sum, inner, before + right, outer);
      }
    }
  }
}

/** The weighted mean, rounded; products wrap around as unsigned 32 bits, within which the sum is. */
function weigh(sum: number, inner: number, far: number, outer: number): number {
  const weighted = (Math.imul(sum, inner) + Math.imul(far, outer)) | 0;
  return (weighted + 0x800000) >>> 24;
}

let sums = new Int32Array(0);

function blurColumns(to: Uint8Array, from: Uint8Array, width: number, box: Box): void {
  const { radius, inner, outer } = box;
  const stride = width * 3;
  const last = from.length - stride;
  const reach = radius * stride;
  if (sums.length < stride) sums = new Int32Array(stride);
  const running = sums;
  for (let i = 0; i < stride; i++) {
    let sum = (from[i] ?? 0) * (radius + 1);
    for (let y = 0; y < reach; y += stride) sum += from[Math.min(y, last) + i] ?? 0;
    running[i] = sum;
  }
  for (let y = 0; y <= last; y += stride) {
    const before = Math.max(y - reach - stride, 0);
    const after = Math.min(y + reach + stride, last);
    const entering = Math.min(y + reach, last);
    for (let i = 0; i < stride; i++) {
      const left = from[before + i] ?? 0;
      const sum = (running[i] ?? 0) + (from[entering + i] ?? 0) - left;
      running[i] = sum;
      const far = left + (from[after + i] ?? 0);
      to[y + i] = weigh(sum, inner, far, outer);
    }
  }
}

/**
 * Gaussian blur as PIL's `ImageFilter.GaussianBlur(radius=sigma)`: three box filters along the rows,
 * then three along the columns, rounded to uint8 after each.
 */
export function gaussianBlur({ width, data }: Pixels, sigma: number): void {
  const box = boxFor(sigma);
  const other = scratch(data.length);
  for (const blur of [blurRows, blurColumns]) {
    blur(other, data, width, box);
    blur(data, other, width, box);
    blur(other, data, width, box);
    data.set(other);
  }
}

/**
 * PIL's `ImageEnhance.Sharpness`: blends with the image smoothed by the 3 × 3 kernel of ones with
 * 5 in the middle, smoothed + factor · (x − smoothed). The outermost pixels stay.
 */
export function adjustSharpness({ width, height, data }: Pixels, factor: number): void {
  const source = scratch(data.length);
  source.set(data);
  const stride = width * 3;
  const at = (i: number): number => source[i] ?? 0;
  for (let y = 1; y < height - 1; y++) {
    for (let i = y * stride + 3; i < (y + 1) * stride - 3; i++) {
      const a = i - stride;
      const b = i + stride;
      const around =
        at(a - 3) + at(a) + at(a + 3) + at(i - 3) + at(i + 3) + at(b - 3) + at(b) + at(b + 3);
      const middle = at(i);
      const smoothed = ((2 * (around + 5 * middle) + 13) / 26) | 0;
      data[i] = blend(smoothed, middle, factor);
    }
  }
}
