import { at } from '../../base/at.js';
import { matmul, narrow, noGrad, scope, transpose, type Tensor } from '@bantam/torch';

/** How a gallery was ordered for each query. */
export interface Ranks {
  /** Rank of the best-ranked positive of each query, from 0. */
  readonly positive: Int32Array;
  /** The gallery item ranked first for each query. */
  readonly first: Int32Array;
}

export interface RankOptions {
  /** How many scores may exist at a time; queries are taken in chunks. 4 million by default. */
  readonly maxScores?: number;
}

/**
 * Orders a gallery by its dot product with each query and finds where the positives come. Of items
 * with equal scores the one with the lower index comes first. The matrix of all scores never exists.
 *
 * @param queries [Q, D] float32.
 * @param gallery [G, D] float32.
 * @param positives Gallery items that are right for each query, at least one each.
 */
export function rankPositives(
  queries: Tensor,
  gallery: Tensor,
  positives: readonly ArrayLike<number>[],
  { maxScores = 2 ** 22 }: RankOptions = {},
): Ranks {
  const count = queries.dim(0);
  const items = gallery.dim(0);
  const step = Math.max(1, Math.floor(maxScores / items));
  const ranks = { positive: new Int32Array(count), first: new Int32Array(count) };
  for (let start = 0; start < count; start += step) {
    const length = Math.min(step, count - start);
    const scores = noGrad(() =>
      scope(() =>
        matmul(narrow(queries, 0, start, length), transpose(gallery, 0, 1)).toTypedArray(),
      ),
    ) as Float32Array;
    for (let row = 0; row < length; row++) {
      const own = scores.subarray(row * items, (row + 1) * items);
      const query = start + row;
      ranks.positive[query] = placeOf(own, foremostOf(own, at(positives, query)));
      ranks.first[query] = foremost(own);
    }
  }
  return ranks;
}

/** The item that comes first in the order. */
function foremost(scores: Float32Array): number {
  let best = 0;
  scores.forEach((score, item) => {
    if (score > (scores[best] ?? NaN)) best = item;
  });
  return best;
}

/** Whichever of some items comes first in the order. */
function foremostOf(scores: Float32Array, items: ArrayLike<number>): number {
  let best = items[0] ?? -1;
  for (const item of Array.from(items)) {
    const lead = (scores[item] ?? NaN) - (scores[best] ?? NaN);
    if (lead > 0 || (lead === 0 && item < best)) best = item;
  }
  return best;
}

/** Number of items before `item` in the order; a score that is no number comes last. */
function placeOf(scores: Float32Array, item: number): number {
  const own = scores[item] ?? NaN;
  if (Number.isNaN(own)) return scores.length;
  let rank = 0;
  for (let other = 0; other < scores.length; other++) {
    const score = scores[other] ?? NaN;
    if (score > own || (score === own && other < item)) rank++;
  }
  return rank;
}
