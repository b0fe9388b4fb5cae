import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import {
  mcnemar,
  pairedBootstrap,
  type BootstrapOptions,
  type McNemar,
  type PairedDifference,
} from '../statistics/paired-tests.js';
import type { Hits } from '../tasks/dataset-context.js';

/** An item that exactly one of two models gets right. */
export interface Disagreement {
  /** Key of its image. */
  readonly key: string;
  /** The caption that asked, in retrieval of images. */
  readonly query?: string;
  /** The right answer, and each model's, where these are words. */
  readonly truth?: string;
  readonly answers?: readonly [string, string];
}

/** Two models on the same items. */
export interface HitsComparison extends McNemar, PairedDifference {
  readonly dataset: string;
  readonly task: string;
  readonly metric: string;
  readonly labels?: string;
  /** Items, and the images that they belong to. */
  readonly items: number;
  readonly images: number;
  /** The metric of each model. */
  readonly values: readonly [number, number];
  /** True if the p-value is below 0.05 and the interval of the difference excludes 0. */
  readonly differs: boolean;
  /** Items that only the first, and that only the second model gets right: a few of them. */
  readonly firstRight: readonly Disagreement[];
  readonly secondRight: readonly Disagreement[];
}

export interface CompareHitsOptions extends BootstrapOptions {
  /** Disagreements to return of each kind. 12 by default. */
  readonly examples?: number;
}

/** Below this p-value two models are said to differ. */
const significance = 0.05;

/**
 * Compares right and wrong answers of two models on the same items: McNemar's exact test over items
 * and the paired bootstrap over images, which items of one image share. Both must agree for a
 * difference to be claimed: with several captions of an image the test alone would be too sure.
 *
 * @throws BantamError if the items are not the same.
 */
export function compareHits(
  first: Hits,
  second: Hits,
  { examples = 12, ...bootstrap }: CompareHitsOptions = {},
): HitsComparison {
  const { dataset, task, metric, labels, keys } = first;
  checkSame(first, second);
  const rows = [...keys.keys()];
  const only = (a: Hits, b: Hits): number[] =>
    rows.filter((row) => at(a.hits, row) === 1 && at(b.hits, row) === 0);
  const [firstOnly, secondOnly] = [only(first, second), only(second, first)];
  const ofImage = new Map<string, { sum: number; items: number }>();
  for (const row of rows) {
    const key = at(keys, row);
    const image = ofImage.get(key) ?? { sum: 0, items: 0 };
    image.sum += at(second.hits, row) - at(first.hits, row);
    image.items++;
    ofImage.set(key, image);
  }
  const mean = keys.length / ofImage.size;
  const differences = Float64Array.from(ofImage.values(), ({ sum }) => sum / mean);
  const test = mcnemar(firstOnly.length, secondOnly.length);
  const paired = pairedBootstrap(differences, bootstrap);
  const [low, high] = paired.interval;
  const rate = ({ hits }: Hits): number => hits.reduce((sum, hit) => sum + hit, 0) / hits.length;
  // Evenly over the data, whose images are often in the order of their classes.
  const shown = (chosen: readonly number[]): Disagreement[] => {
    const count = Math.min(examples, chosen.length);
    return Array.from({ length: count }, (_, i) =>
      disagreement(first, second, at(chosen, Math.floor((i * chosen.length) / count))),
    );
  };
  return {
    dataset,
    task,
    metric,
    ...(labels !== undefined && { labels }),
    items: keys.length,
    images: ofImage.size,
    values: [rate(first), rate(second)],
    ...test,
    ...paired,
    differs: test.pValue < significance && (low > 0 || high < 0),
    firstRight: shown(firstOnly),
    secondRight: shown(secondOnly),
  };
}

function checkSame(first: Hits, second: Hits): void {
  const same =
    first.keys.length === second.keys.length &&
    first.keys.every((key, row) => key === at(second.keys, row));
  const named =
    first.metric === second.metric &&
    first.labels === second.labels &&
    first.truths.length === second.truths.length &&
    first.truths.every((truth, row) => truth === at(second.truths, row));
  if (same && named) return;
  throw new BantamError(
    `The answers are of different data: ${first.keys.length} items of "${first.dataset}" (${first.metric}) and ${second.keys.length} of "${second.dataset}" (${second.metric}); compare two models on the same images.`,
  );
}

function disagreement(first: Hits, second: Hits, row: number): Disagreement {
  const key = at(first.keys, row);
  const { queries } = first;
  if (queries !== undefined) return { key, query: at(queries, row) };
  if (first.truths.length === 0) return { key };
  return {
    key,
    truth: at(first.truths, row),
    answers: [at(first.answers, row), at(second.answers, row)],
  };
}
