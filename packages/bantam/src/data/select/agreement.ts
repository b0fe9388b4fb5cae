/** ScoreAgreement of scores with each other and with known answers. */
import { at } from '../../base/at.js';
import { mean } from '../../base/statistics.js';
import { percentileRanks, topFraction } from './ranking.js';

/** ScoreAgreement of two scores of the same records. */
export interface ScoreAgreement {
  /** Spearman's rank correlation over the records that have both scores. */
  readonly correlation: number;
  /**
   * Jaccard index of the top fractions: of the records that either keeps, the fraction that both
   * keep.
   */
  readonly overlaps: readonly { readonly fraction: number; readonly overlap: number }[];
}

/** Rank correlation of two scores, and the overlap of their top fractions. */
export function scoreAgreement(
  a: Float64Array,
  b: Float64Array,
  {
    keys,
    fractions = [0.2, 0.4, 0.6, 0.8],
  }: { keys: readonly string[]; fractions?: readonly number[] },
): ScoreAgreement {
  const both = Array.from(a.keys()).filter(
    (i) => !Number.isNaN(at(a, i)) && !Number.isNaN(at(b, i)),
  );
  const ranksOf = (scores: Float64Array): Float64Array =>
    percentileRanks(Float64Array.from(both, (i) => at(scores, i)));
  const overlaps = fractions.map((fraction) => {
    const first = topFraction(a, { keys, fraction });
    const second = topFraction(b, { keys, fraction });
    let common = 0;
    let either = 0;
    for (let i = 0; i < keys.length; i++) {
      const sum = at(first, i) + at(second, i);
      if (sum === 2) common++;
      if (sum > 0) either++;
    }
    return { fraction, overlap: either === 0 ? 1 : common / either };
  });
  return { correlation: pearson(ranksOf(a), ranksOf(b)), overlaps };
}

function pearson(x: Float64Array, y: Float64Array): number {
  const [ofX, ofY] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [at(x, i) - ofX, at(y, i) - ofY];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xy / Math.sqrt(xx * yy);
}

/**
 * Area under the ROC curve: the probability that a good record has a higher score than a bad one,
 * ties counting half (Mann and Whitney's U). NaN without records of both kinds.
 */
export function rocAuc(scores: Float64Array, isGood: readonly boolean[]): number {
  const ranks = percentileRanks(scores);
  let good = 0;
  let bad = 0;
  let sum = 0;
  const last = Math.max(1, scores.reduce((n, score) => n + (Number.isNaN(score) ? 0 : 1), 0) - 1);
  for (const [i, rank] of ranks.entries()) {
    if (Number.isNaN(rank)) continue;
    if (isGood[i] === true) {
      good++;
      sum += rank * last + 1;
    } else bad++;
  }
  return (sum - (good * (good + 1)) / 2) / (good * bad);
}
