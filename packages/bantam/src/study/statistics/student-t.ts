/** Student's t distribution (Student 1908), by the incomplete beta function. */
import { BantamError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';
import type { Interval } from '../../eval/index.js';

/** Coefficients of Lanczos' approximation of ln Γ with g = 7, without the constant one. */
const lanczos = [
  676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
] as const;

/** ln Γ(x) for x > 0 (Lanczos 1964); relative error below 1e-13. */
function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const shifted = x - 1;
  const sum = lanczos.reduce<number>(
    (total, value, i) => total + value / (shifted + i + 1),
    0.99999999999980993,
  );
  const t = shifted + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (shifted + 0.5) * Math.log(t) - t + Math.log(sum);
}

/**
 * Regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun
 * 26.5.8) in Lentz's evaluation.
 */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges quickly on this side alone.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const tiny = 1e-300;
  const inside = (value: number): number => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / inside(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 1000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / inside(1 + even * d);
    c = inside(1 + even / c);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / inside(1 + odd * d);
    c = inside(1 + odd / c);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  const logBeta = logGamma(a) + logGamma(b) - logGamma(a + b);
  return (Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta) / a) * fraction;
}

/** Two-sided p-value P(|T| ≥ |t|) with `df` degrees of freedom: I_x(df/2, ½), x = df/(df + t²). */
export function tTwoSided(t: number, df: number): number {
  if (!Number.isFinite(t)) return 0;
  return incompleteBeta(df / (df + t * t), df / 2, 0.5);
}

/**
 * The quantile t for which P(|T| ≤ t) = `confidence`: 4.303 for 0.95 and two degrees of freedom. By
 * bisection.
 *
 * @throws BantamError without degrees of freedom.
 */
export function tQuantile(confidence: number, df: number): number {
  if (!(df >= 1)) throw new BantamError('One value has no interval; use more seeds.');
  let low = 0;
  let high = 1;
  while (tTwoSided(high, df) > 1 - confidence) high *= 2;
  for (let i = 0; i < 200 && high - low > 1e-13 * high; i++) {
    const middle = (low + high) / 2;
    if (tTwoSided(middle, df) > 1 - confidence) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Mean and standard deviation of a sample, the latter with n − 1; null of fewer than two values. */
export function moments(values: readonly number[]): {
  readonly mean: number;
  readonly deviation: number | null;
} {
  const n = values.length;
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return { mean: center, deviation: n < 2 ? null : Math.sqrt(squares / (n - 1)) };
}

/** 95 % interval of a mean, mean ± t·s/√n with n − 1 degrees of freedom; null of one value. */
export function studentInterval(values: readonly number[]): Interval | null {
  const { mean, deviation } = moments(values);
  if (deviation === null) return null;
  const n = values.length;
  const half = (tQuantile(0.95, n - 1) * deviation) / Math.sqrt(n);
  return [mean - half, mean + half];
}
