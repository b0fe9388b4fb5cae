import { at } from '../base/at.js';
import type { Tensor } from '@bantam/torch';
import { retrievalChance } from './chance.js';
import type { Scores } from './scores.js';
import { rankPositives, type RankOptions } from './ranks.js';

export interface RetrievalInput extends RankOptions {
  /** [N, D] float32, L2-normalised. */
  readonly image: Tensor;
  /** [M, D] float32, L2-normalised. */
  readonly text: Tensor;
  /** Texts of each image, as rows of `text`. Every text belongs to at least one image. */
  readonly textsOf: readonly ArrayLike<number>[];
}

const cutoffs = [1, 5, 10];

/**
 * Retrieval both ways, each item with all the other kind as the gallery: a query counts as a hit
 * at k if any of its positives is among the first k (the protocol of CLIP_benchmark). Of equal
 * scores the lower index comes first.
 *
 * `image_retrieval_…` asks with a text for its images, `text_retrieval_…` with an image for its
 * texts: `recall@1`, `recall@5`, `recall@10`, `median_rank` (ranks count from 1; of two middle
 * ones the mean, rounded down) and `mean_reciprocal_rank`.
 */
export function retrieval({ image, text, textsOf, ...options }: RetrievalInput): Scores {
  const imagesOf: number[][] = Array.from({ length: text.dim(0) }, () => []);
  textsOf.forEach((texts, item) => {
    for (const row of Array.from(texts)) imagesOf[row]?.push(item);
  });
  const forText = oneWay('image_retrieval', text, image, imagesOf, options);
  const forImage = oneWay('text_retrieval', image, text, textsOf, options);
  return {
    metrics: { ...forText.metrics, ...forImage.metrics },
    chance: { ...forText.chance, ...forImage.chance },
  };
}

function oneWay(
  name: string,
  queries: Tensor,
  gallery: Tensor,
  positives: readonly ArrayLike<number>[],
  options: RankOptions,
): Scores {
  const ranks = rankPositives(queries, gallery, positives, options).positive;
  const expected = retrievalChance(
    gallery.dim(0),
    positives.map(({ length }) => length),
  );
  const scores: Scores = { metrics: {}, chance: {} };
  const set = (metric: string, value: number, chance: number): void => {
    scores.metrics[`${name}_${metric}`] = value;
    scores.chance[`${name}_${metric}`] = chance;
  };
  for (const k of cutoffs) {
    set(
      `recall@${k}`,
      mean(ranks, (rank) => (rank < k ? 1 : 0)),
      expected.recall(k),
    );
  }
  set('median_rank', Math.floor(median(ranks)) + 1, expected.medianRank);
  const reciprocal = mean(ranks, (rank) => 1 / (rank + 1));
  set('mean_reciprocal_rank', reciprocal, expected.meanReciprocalRank);
  return scores;
}

function mean(ranks: Int32Array, value: (rank: number) => number): number {
  let total = 0;
  for (const rank of ranks) total += value(rank);
  return total / ranks.length;
}

function median(ranks: Int32Array): number {
  const sorted = ranks.toSorted();
  const middle = (sorted.length - 1) / 2;
  return (at(sorted, Math.floor(middle)) + at(sorted, Math.ceil(middle))) / 2;
}
