/** Monotone curves through measured errors, where a law would say more than is known. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';

/** A measured point of a curve. */
export interface CurvePoint {
  /** Above 0. */
  readonly x: number;
  readonly y: number;
}

/** A curve that never rises. */
export interface MonotoneCurve {
  /** Value at x > 0; beyond the measured range that of its end. */
  readonly at: (x: number) => number;
  /** True within the measured range. */
  readonly isInside: (x: number) => boolean;
}

/**
 * The non-increasing values that are nearest to given ones in squares: pool adjacent violators (Ayer et
 * al. 1955).
 */
export function nonIncreasing(values: readonly number[]): number[] {
  const blocks: { sum: number; count: number }[] = [];
  for (const value of values) {
    let block = { sum: value, count: 1 };
    for (let last = blocks.at(-1); last !== undefined; last = blocks.at(-1)) {
      if (last.sum / last.count >= block.sum / block.count) break;
      blocks.pop();
      block = { sum: last.sum + block.sum, count: last.count + block.count };
    }
    blocks.push(block);
  }
  return blocks.flatMap(({ sum, count }) => new Array<number>(count).fill(sum / count));
}

/**
 * Error as a curve of the samples that never rises: means at equal x, made monotone, joined by cubics in
 * ln x whose slopes keep them so (Fritsch and Butland 1984, as SciPy's `PchipInterpolator`).
 *
 * @throws BantamError without points, or with one at x ≤ 0.
 */
export function monotoneCurve(points: readonly CurvePoint[]): MonotoneCurve {
  const byX = new Map<number, number[]>();
  for (const { x, y } of points) {
    if (!(x > 0)) throw new BantamError(`A curve over ln x has no point at ${x}.`);
    byX.set(x, [...(byX.get(x) ?? []), y]);
  }
  const sorted = [...byX].sort(([a], [b]) => a - b);
  if (sorted.length === 0) throw new BantamError('A curve needs a point.');
  const xs = sorted.map(([x]) => Math.log(x));
  const ys = nonIncreasing(
    sorted.map(([, own]) => own.reduce((sum, y) => sum + y, 0) / own.length),
  );
  const slopes = slopesOf(xs, ys);
  const [first, last] = [at(xs, 0), at(xs, -1)];
  return {
    isInside: (x) => Math.log(x) >= first - 1e-12 && Math.log(x) <= last + 1e-12,
    at: (x) => {
      const t = Math.log(x);
      if (t <= first) return at(ys, 0);
      if (t >= last) return at(ys, -1);
      const right = xs.findIndex((value) => value > t);
      return hermite(t, right - 1, { xs, ys, slopes });
    },
  };
}

/** Slopes at the points: harmonic means of those beside them, 0 where these differ in sign. */
function slopesOf(xs: readonly number[], ys: readonly number[]): number[] {
  const n = xs.length;
  if (n === 1) return [0];
  const widths = xs.slice(1).map((x, i) => x - at(xs, i));
  const rises = widths.map((width, i) => (at(ys, i + 1) - at(ys, i)) / width);
  if (n === 2) return [at(rises, 0), at(rises, 0)];
  const inner = rises.slice(1).map((right, i) => {
    const left = at(rises, i);
    if (left * right <= 0) return 0;
    const [h, next] = [at(widths, i), at(widths, i + 1)];
    const [w1, w2] = [2 * next + h, next + 2 * h];
    return (w1 + w2) / (w1 / left + w2 / right);
  });
  return [
    endSlope([at(widths, 0), at(widths, 1)], [at(rises, 0), at(rises, 1)]),
    ...inner,
    endSlope([at(widths, -1), at(widths, -2)], [at(rises, -1), at(rises, -2)]),
  ];
}

/** The slope at an end by three points, held so that the curve stays monotone. */
function endSlope(
  [h0, h1]: readonly [number, number],
  [rise0, rise1]: readonly [number, number],
): number {
  const slope = ((2 * h0 + h1) * rise0 - h0 * rise1) / (h0 + h1);
  if (Math.sign(slope) !== Math.sign(rise0)) return 0;
  const isSteep = Math.sign(rise0) !== Math.sign(rise1) && Math.abs(slope) > 3 * Math.abs(rise0);
  return isSteep ? 3 * rise0 : slope;
}

function hermite(
  t: number,
  left: number,
  { xs, ys, slopes }: { xs: readonly number[]; ys: readonly number[]; slopes: readonly number[] },
): number {
  const h = at(xs, left + 1) - at(xs, left);
  const u = (t - at(xs, left)) / h;
  const [y0, y1] = [at(ys, left), at(ys, left + 1)];
  const [m0, m1] = [h * at(slopes, left), h * at(slopes, left + 1)];
  const [square, cube] = [u * u, u * u * u];
  return (
    (2 * cube - 3 * square + 1) * y0 +
    (cube - 2 * square + u) * m0 +
    (3 * square - 2 * cube) * y1 +
    (cube - square) * m1
  );
}
