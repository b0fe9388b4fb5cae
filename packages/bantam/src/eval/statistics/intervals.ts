/** Sampling errors of metrics: 95 % intervals of what more images of the same kind would give. */
import { at } from '../../base/at.js';
import { mean } from '../../base/statistics.js';

/** Lower and upper bound of a 95 % interval. */
export type Interval = readonly [low: number, high: number];

/** Quantile 0.975 of the normal distribution. */
export const z95 = 1.959963984540054;

/**
 * Wilson's score interval of a proportion (Wilson 1927): with p = hits/n,
 * (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n). Unlike p ± z·√(p(1−p)/n) it has width, and
 * stays within [0, 1], where p is near 0 or 1.
 *
 * @param n Trials; a fraction where trials depend on each other, see {@link clusteredWilson}.
 */
export function wilson(hits: number, n: number): Interval {
  const p = hits / n;
  const square = z95 ** 2;
  const scale = 1 + square / n;
  const centre = (p + square / (2 * n)) / scale;
  const half = (z95 / scale) * Math.sqrt((p * (1 - p)) / n + square / (4 * n ** 2));
  return [p === 0 ? 0 : Math.max(0, centre - half), p === 1 ? 1 : Math.min(1, centre + half)];
}

/** Successes and trials that belong together, such as the captions of one image. */
export interface Cluster {
  readonly hits: number;
  readonly trials: number;
}

/**
 * Wilson's interval where trials come in clusters: n is replaced by the effective number
 * p(1−p)/v, with the linearised variance v = Σ(hits_i − p·trials_i)² / n² of a ratio (Kish 1965),
 * and is never more than the number of trials.
 */
export function clusteredWilson(clusters: readonly Cluster[]): Interval {
  let hits = 0;
  let trials = 0;
  for (const cluster of clusters) {
    hits += cluster.hits;
    trials += cluster.trials;
  }
  const p = hits / trials;
  let squares = 0;
  for (const cluster of clusters) squares += (cluster.hits - p * cluster.trials) ** 2;
  const variance = squares / trials ** 2;
  // With p of 0 or 1 nothing can be estimated: each cluster then counts once.
  const effective = variance === 0 ? clusters.length : (p * (1 - p)) / variance;
  const n = Math.min(trials, effective);
  return wilson(p * n, n);
}

/** mean ± z·s/√n of independent values. */
export function meanInterval(values: ArrayLike<number>): Interval {
  const n = values.length;
  const center = mean(values);
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (at(values, i) - center) ** 2;
  return around(center, n < 2 ? 0 : squares / (n - 1) / n);
}

/** mean ± z·√variance, within [0, 1]: for fractions. */
export function fractionInterval(mean: number, variance: number): Interval {
  const [low, high] = around(mean, variance);
  return [Math.max(0, low), Math.min(1, high)];
}

function around(mean: number, variance: number): Interval {
  const half = z95 * Math.sqrt(variance);
  return [mean - half, mean + half];
}

/**
 * Interval of a median by order statistics: the values at ranks n/2 ± z·√n/2, counted from 1 and
 * rounded outwards.
 *
 * @param sorted Values in rising order.
 */
export function medianInterval(sorted: ArrayLike<number>): Interval {
  const n = sorted.length;
  const half = (z95 * Math.sqrt(n)) / 2;
  const low = Math.max(1, Math.floor(n / 2 - half));
  const high = Math.min(n, Math.ceil(1 + n / 2 + half));
  return [at(sorted, low - 1), at(sorted, high - 1)];
}

/**
 * Variance of a mean over classes of hit rates, each class a sample of its own:
 * Σ q(1−q)/n_c / K² with q = (hits + 1)/(n_c + 2), so that a class of which all or none is right
 * is not taken for certain (Agresti and Coull 1998).
 */
export function stratifiedVariance(classes: readonly Cluster[]): number {
  let sum = 0;
  for (const { hits, trials } of classes) {
    const q = (hits + 1) / (trials + 2);
    sum += (q * (1 - q)) / trials;
  }
  return sum / classes.length ** 2;
}

/** A value with its 95 % interval. */
export interface Estimate {
  readonly value: number;
  readonly interval: Interval;
}

/**
 * Interval of the difference of two independent estimates from their own intervals (Zou and Donner
 * 2008, MOVER): a − b − √((a − l_a)² + (u_b − b)²) to a − b + √((u_a − a)² + (b − l_b)²). It keeps
 * what the intervals know of their skew near 0 and 1.
 */
export function differenceInterval(first: Estimate, second: Estimate): Interval {
  const { value: a, interval: firstEnds } = first;
  const { value: b, interval: secondEnds } = second;
  const difference = a - b;
  return [
    difference - Math.hypot(a - firstEnds[0], secondEnds[1] - b),
    difference + Math.hypot(firstEnds[1] - a, b - secondEnds[0]),
  ];
}
