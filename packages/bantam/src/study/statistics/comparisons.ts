/** Arms compared with each other: paired by seed, corrected for their number. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { Interval } from '../../eval/index.js';
import { moments, studentInterval, tTwoSided } from './student-t.js';

/** A difference of two arms, over the seeds that both have. */
export interface PairedTest {
  /** Mean of the differences. */
  readonly difference: number;
  /** 95 % interval by Student's t; null of one pair. */
  readonly interval: Interval | null;
  /** Two-sided p-value of the paired t-test; null of one pair. */
  readonly pValue: number | null;
  readonly pairs: number;
}

/**
 * Student's paired t-test: t = mean(d)·√n / s(d) of the differences d of n pairs.
 *
 * @throws BantamError without pairs.
 */
export function pairedTest(differences: readonly number[]): PairedTest {
  const pairs = differences.length;
  if (pairs === 0) throw new BantamError('Two arms without a common seed cannot be compared.');
  const { mean: difference, deviation } = moments(differences);
  if (deviation === null) return { difference, interval: null, pValue: null, pairs };
  const pValue =
    difference === 0 ? 1 : tTwoSided((difference * Math.sqrt(pairs)) / deviation, pairs - 1);
  return { difference, interval: studentInterval(differences), pValue, pairs };
}

/**
 * p-values adjusted for their number by Holm's method (1979): of m values in rising order the i-th is
 * multiplied by m − i + 1, and none is below the one before. Rejecting those below 0.05 errs anywhere
 * with probability 0.05 at most.
 */
export function holm(pValues: readonly number[]): number[] {
  const m = pValues.length;
  const order = pValues.map((_, i) => i).sort((a, b) => at(pValues, a) - at(pValues, b));
  const adjusted = new Array<number>(m).fill(1);
  let before = 0;
  for (const [rank, i] of order.entries()) {
    before = Math.max(before, Math.min(1, (m - rank) * at(pValues, i)));
    adjusted[i] = before;
  }
  return adjusted;
}

/** Verdict of a comparison at the level of 5 %. */
export type Verdict = 'better' | 'worse' | 'not distinguishable';

/**
 * The verdict on a difference. Without a p-value, of one seed, nothing is distinguishable.
 *
 * @param adjusted - p-value after {@link holm}
 */
export function verdictOn(
  { difference }: Pick<PairedTest, 'difference'>,
  adjusted: number | null,
  { lowerIsBetter }: { readonly lowerIsBetter: boolean },
): Verdict {
  if (adjusted === null || adjusted >= 0.05) return 'not distinguishable';
  return difference > 0 === lowerIsBetter ? 'worse' : 'better';
}
