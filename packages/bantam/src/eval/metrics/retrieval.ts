import { at } from '../../base/at.js';
import { mean } from '../../base/statistics.js';
import { fromTypedArray, indexSelect, scope, type Tensor } from '@bantam/torch';
import {
  clusteredWilson,
  meanInterval,
  medianInterval,
  type Interval,
} from '../statistics/intervals.js';
import { retrievalChance } from './chance.js';
import type { Scores } from './scores.js';
import { rankPositives, type RankOptions } from './ranks.js';

export interface RetrievalInput extends RankOptions {
  /** [N, D] float32, L2-normalised. */
  readonly image: Tensor;
  /** [M, D] float32, L2-normalised. */
  readonly text: Tensor;
  /** Texts of each image, as rows of `text`; maybe none. Every text belongs to at least one image. */
  readonly textsOf: readonly ArrayLike<number>[];
}

const cutoffs = [1, 5, 10];

/** {@link Scores} with the ranks that they were counted from. */
export interface RetrievalScores extends Scores {
  readonly intervals: Record<string, Interval>;
  /** Rank of the first right image of each text, from 0. */
  readonly imageRanks: Int32Array;
  /** Rank of the first right text of each image that has texts, from 0. */
  readonly textRanks: Int32Array;
}

/**
 * Retrieval both ways, each item with all the other kind as the gallery: a query counts as a hit
 * at k if any of its positives is among the first k (the protocol of CLIP_benchmark). Of equal
 * scores the lower index comes first.
 *
 * `image_retrieval_…` asks with a text for its images, `text_retrieval_…` with an image for its
 * texts: `recall@1`, `recall@5`, `recall@10`, `median_rank` (ranks count from 1; of two middle
 * ones the mean, rounded down) and `mean_reciprocal_rank`; `mean_recall@1` is the mean of both ways,
 * DataComp's main metric. Texts of one image are not independent: their intervals count images.
 */
export function retrieval({ image, text, textsOf, ...options }: RetrievalInput): RetrievalScores {
  const imagesOf: number[][] = Array.from({ length: text.dim(0) }, () => []);
  textsOf.forEach((texts, item) => {
    for (const row of Array.from(texts)) imagesOf[row]?.push(item);
  });
  const forText = oneWay('image_retrieval', text, image, imagesOf, options);
  // An image without texts is in the gallery of images, and asks nothing.
  const images = textsOf.flatMap((texts, row) => (texts.length > 0 ? [row] : []));
  const asking = scope(() =>
    indexSelect(image, 0, fromTypedArray(BigInt64Array.from(images, BigInt))),
  );
  const textsOfAsking = images.map((row) => at(textsOf, row));
  const forImage = oneWay('text_retrieval', asking, text, textsOfAsking, options);
  asking.dispose();
  const owners = imagesOf.map(([owner = -1]) => owner);
  return {
    metrics: {
      ...forText.metrics,
      ...forImage.metrics,
      'mean_recall@1': (forText.recall1.value + forImage.recall1.value) / 2,
    },
    chance: {
      ...forText.chance,
      ...forImage.chance,
      'mean_recall@1': (forText.recall1.chance + forImage.recall1.chance) / 2,
    },
    intervals: {
      ...rankIntervals('image_retrieval', forText.ranks, owners),
      ...rankIntervals('text_retrieval', forImage.ranks, images),
    },
    imageRanks: forText.ranks,
    textRanks: forImage.ranks,
  };
}

/** 95 % intervals of a way's metrics; queries of one owner are one cluster. */
function rankIntervals(
  name: string,
  ranks: Int32Array,
  owners: readonly number[],
): Record<string, Interval> {
  const intervals: Record<string, Interval> = {};
  for (const k of cutoffs) {
    const clusters = new Map<number, { hits: number; trials: number }>();
    ranks.forEach((rank, query) => {
      const owner = at(owners, query);
      const cluster = clusters.get(owner) ?? { hits: 0, trials: 0 };
      cluster.trials++;
      if (rank < k) cluster.hits++;
      clusters.set(owner, cluster);
    });
    intervals[`${name}_recall@${k}`] = clusteredWilson([...clusters.values()]);
  }
  const [low, high] = medianInterval(ranks.toSorted());
  intervals[`${name}_median_rank`] = [low + 1, high + 1];
  intervals[`${name}_mean_reciprocal_rank`] = meanInterval(
    Float64Array.from(ranks, (rank) => 1 / (rank + 1)),
  );
  return intervals;
}

function oneWay(
  name: string,
  queries: Tensor,
  gallery: Tensor,
  positives: readonly ArrayLike<number>[],
  options: RankOptions,
): Scores & {
  readonly ranks: Int32Array;
  readonly recall1: { readonly value: number; readonly chance: number };
} {
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
    set(`recall@${k}`, hitRate(ranks, k), expected.recall(k));
  }
  set('median_rank', Math.floor(median(ranks)) + 1, expected.medianRank);
  const reciprocal = mean(Array.from(ranks, (rank) => 1 / (rank + 1)));
  set('mean_reciprocal_rank', reciprocal, expected.meanReciprocalRank);
  const recall1 = { value: hitRate(ranks, 1), chance: expected.recall(1) };
  return { ...scores, ranks, recall1 };
}

/** Fraction of the ranks that are below `k`. */
function hitRate(ranks: Int32Array, k: number): number {
  return mean(Array.from(ranks, (rank) => (rank < k ? 1 : 0)));
}

function median(ranks: Int32Array): number {
  const sorted = ranks.toSorted();
  const middle = (sorted.length - 1) / 2;
  return (at(sorted, Math.floor(middle)) + at(sorted, Math.ceil(middle))) / 2;
}
