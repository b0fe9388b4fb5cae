import { CounterRng } from '../../data/index.js';
import { BantamError } from '../../base/errors.js';
import { at } from '../../base/at.js';
import { mean, quantile } from '../../base/statistics.js';
import type { Interval } from './intervals.js';

/** Result of {@link mcnemar}. */
export interface McNemar {
  /** Items that only the first model gets right. */
  readonly onlyFirst: number;
  /** Items that only the second model gets right. */
  readonly onlySecond: number;
  /** Two-sided p-value: how likely such a difference, or a larger one, is between equal models. */
  readonly pValue: number;
}

/**
 * McNemar's exact test (1947): of the b + c items that exactly one of two models gets right, each is
 * the first one's with probability ½ if the models are equally good, so
 * p = min(1, 2·Σ_{i ≤ min(b,c)} C(b+c, i)/2^(b+c)). Items that both get right or wrong say nothing.
 */
export function mcnemar(onlyFirst: number, onlySecond: number): McNemar {
  const n = onlyFirst + onlySecond;
  const least = Math.min(onlyFirst, onlySecond);
  // In logarithms: 2^-n underflows above n = 1074.
  let logTerm = -n * Math.LN2;
  let tail = 0;
  for (let i = 0; i <= least; i++) {
    tail += Math.exp(logTerm);
    logTerm += Math.log((n - i) / (i + 1));
  }
  return { onlyFirst, onlySecond, pValue: Math.min(1, 2 * tail) };
}

export interface BootstrapOptions {
  /** Samples with replacement. 2000 by default. */
  readonly resamples?: number;
  /** 0 by default. */
  readonly seed?: number;
}

/** Result of {@link pairedBootstrap}. */
export interface PairedDifference {
  /** Mean of the differences. */
  readonly difference: number;
  /** 95 % interval: quantiles 0.025 and 0.975 of the means of resampled differences. */
  readonly interval: Interval;
}

/**
 * Paired bootstrap (Efron 1979) of a difference of means: items are sampled with replacement, both
 * models' values together. An item is what was sampled independently: an image with all its captions.
 *
 * @param differences For each item, the second model's value less the first one's.
 * @throws BantamError without items.
 */
export function pairedBootstrap(
  differences: Float64Array,
  { resamples = 2000, seed = 0 }: BootstrapOptions = {},
): PairedDifference {
  const n = differences.length;
  if (n === 0) throw new BantamError('There are no images to compare two models on.');
  const random = new CounterRng({ seed, purpose: 'bootstrap', epoch: 0 });
  const means = new Float64Array(resamples);
  for (let sample = 0; sample < resamples; sample++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += at(differences, random.integer(n));
    means[sample] = sum / n;
  }
  means.sort();
  return {
    difference: mean(differences),
    interval: [quantile(means, 0.025), quantile(means, 0.975)],
  };
}
