/** Choices by the order of scores: the top of the whole, with a rule for ties. */
import { at } from '../../base/at.js';

/**
 * Ties at the cut of {@link topFraction}: `key` keeps exactly the fraction, of equal scores the
 * smaller key first; `keep` keeps all that reach DataComp's threshold, so somewhat more.
 */
export type TieRule = 'key' | 'keep';

export interface TopOptions {
  /** Keys of the records, for ties. */
  readonly keys: readonly string[];
  /** Fraction of the scored records, from 0 to 1. */
  readonly fraction: number;
  /** `key` by default. */
  readonly ties?: TieRule;
}

/**
 * Records with the highest scores: round(fraction · n) of the n records that have a score. NaN is
 * none.
 */
export function topFraction(
  scores: Float64Array,
  { keys, fraction, ties = 'key' }: TopOptions,
): Uint8Array {
  const ascending = scores.filter((score) => !Number.isNaN(score)).sort();
  const count = Math.round(fraction * ascending.length);
  const kept = new Uint8Array(scores.length);
  if (ties === 'keep') {
    const threshold = dataCompThreshold(ascending, fraction);
    for (let i = 0; i < scores.length; i++) if (at(scores, i) >= threshold) kept[i] = 1;
    return kept;
  }
  if (count === 0) return kept;
  const threshold = at(ascending, ascending.length - count);
  const tied: number[] = [];
  let above = 0;
  for (let i = 0; i < scores.length; i++) {
    const score = at(scores, i);
    if (score > threshold) {
      kept[i] = 1;
      above++;
    } else if (score === threshold) tied.push(i);
  }
  tied.sort((a, b) => compareKeys(at(keys, a), at(keys, b)) || a - b);
  for (const index of tied.slice(0, count - above)) kept[index] = 1;
  return kept;
}

/**
 * DataComp's threshold for a fraction (Gadre et al. 2023, arXiv 2304.14108,
 * `baselines/apply_filter.py`): the score at position ⌊n · fraction⌋, from 0, of all scores in
 * descending order. Records at or above it are kept. A fraction of 1 has no such position and keeps
 * all.
 *
 * @param ascending all scores, in ascending order.
 */
export function dataCompThreshold(ascending: Float64Array, fraction: number): number {
  const position = Math.floor(ascending.length * fraction);
  return position < ascending.length ? at(ascending, ascending.length - 1 - position) : -Infinity;
}

/** Order of keys by their UTF-16 code units, the same in every locale. */
export function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Rank of each score among all, from 0 (lowest) to 1 (highest), equal scores in the middle of their
 * ranks. NaN stays NaN.
 */
export function percentileRanks(scores: Float64Array): Float64Array {
  const ascending = scores.filter((score) => !Number.isNaN(score)).sort();
  const last = Math.max(1, ascending.length - 1);
  return scores.map((score) => {
    if (Number.isNaN(score)) return NaN;
    const first = lowerBound(ascending, (value) => value >= score);
    const end = lowerBound(ascending, (value) => value > score);
    return (first + end - 1) / 2 / last;
  });
}

/** First index of a sorted list from which on a condition holds; its length if there is none. */
function lowerBound(ascending: Float64Array, holds: (value: number) => boolean): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(at(ascending, middle))) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Several scores as one on which they must agree: the lowest of a record's percentile ranks. NaN
 * where one is missing. One score stays unchanged.
 */
export function agreedScore(columns: readonly Float64Array[]): Float64Array {
  const [first = new Float64Array()] = columns;
  if (columns.length === 1) return first;
  const ranks = columns.map(percentileRanks);
  return first.map((_, i) => Math.min(...ranks.map((column) => at(column, i))));
}
