/**
 * Retrieval scores of a gallery in random order. Queries differ in how many items are
 * right for them, so each metric is an expectation over the queries.
 */
export interface RetrievalChance {
  /** Expected fraction of queries with a hit among the first k. */
  recall(k: number): number;
  /** The first rank by which half of the queries are expected to have had a hit. */
  readonly medianRank: number;
  /** Expected mean of 1/rank of the first hit. */
  readonly meanReciprocalRank: number;
}

/** Chance levels for queries with `positives[i]` right items each in a gallery of `items`. */
export function retrievalChance(items: number, positives: readonly number[]): RetrievalChance {
  const queries = new Map<number, number>();
  for (const right of positives) queries.set(right, (queries.get(right) ?? 0) + 1);
  const expect = (value: (right: number) => number): number => {
    let total = 0;
    for (const [right, count] of queries) total += count * value(right);
    return total / positives.length;
  };
  const recall = (k: number): number => expect((right) => 1 - missAll(items, right, k));
  return {
    recall,
    medianRank: firstWhere(items, (rank) => recall(rank) >= 0.5),
    meanReciprocalRank: expect((right) => expectedReciprocal(items, right)),
  };
}

/** P(none of the right items is among the first k) = C(items − right, k) / C(items, k). */
function missAll(items: number, right: number, k: number): number {
  // The quotient is symmetric in `right` and `k`; the smaller one has fewer factors.
  const [fewer, more] = right < k ? [right, k] : [k, right];
  let probability = 1;
  for (let i = 0; i < fewer; i++) probability *= Math.max(0, items - more - i) / (items - i);
  return probability;
}

/** Σ P(first hit at rank)/rank */
function expectedReciprocal(items: number, right: number): number {
  let total = 0;
  let missedSoFar = 1;
  for (let rank = 1; rank <= items - right + 1; rank++) {
    const hit = right / (items - rank + 1);
    total += (missedSoFar * hit) / rank;
    missedSoFar *= 1 - hit;
  }
  return total;
}

/** The least of 1 … last for which a monotone condition holds; `last` if for none. */
function firstWhere(last: number, holds: (value: number) => boolean): number {
  let low = 1;
  let high = last;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
