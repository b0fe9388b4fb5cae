import { matmul, narrow, noGrad, scope, transpose, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';
import { CounterRng } from '../../data/index.js';
import type { Interval } from '../statistics/intervals.js';
import type { Scores } from './scores.js';

/** Average precision of one class of a multi-label classification. */
export interface ClassPrecision {
  readonly name: string;
  /** Images that show it. */
  readonly samples: number;
  readonly averagePrecision: number;
}

export interface MultiLabelInput {
  /** [N, D] float32, L2-normalised. */
  readonly image: Tensor;
  /** [C, D] of `classifierWeights`. */
  readonly weights: Tensor;
  /** C names. */
  readonly classes: readonly string[];
  /** Classes that each image shows; maybe none. */
  readonly several: readonly ArrayLike<number>[];
  /** Resamples of the interval. 400 by default. */
  readonly resamples?: number;
  /** How many scores may exist at a time. 4 million by default. */
  readonly maxScores?: number;
}

export interface MultiLabelResult extends Scores {
  readonly intervals: Record<string, Interval>;
  readonly samples: number;
  readonly classPrecisions: readonly ClassPrecision[];
}

/** The images in the order of their scores for a class, and which of them show it. */
interface Ranking {
  readonly order: Int32Array;
  readonly shows: Uint8Array;
  readonly positives: number;
}

const metric = 'mean_average_precision';

/**
 * Zero-shot classification of images that show several classes, as CLIP_benchmark measures it: for
 * each class the images in the order of x·w, AP = mean over its images of the precision down to
 * them, and the mean over all classes; a class without images counts as 0, as there. Of equal
 * scores the lower index comes first. Chance is the expectation over random orders, see
 * {@link expectedPrecision}; the interval that of images sampled with replacement.
 *
 * @throws BantamError when no image shows a class.
 */
export function multiLabel(input: MultiLabelInput): MultiLabelResult {
  const { classes, several, resamples = 400 } = input;
  const rankings = rank(input);
  if (rankings.every(({ positives }) => positives === 0)) {
    throw new BantamError('No image shows a class, so there is nothing to classify; add labels.');
  }
  const ones = new Int32Array(several.length).fill(1);
  const precisions = rankings.map((ranking) => averagePrecision(ranking, ones));
  const chances = rankings.map(({ positives }) => expectedPrecision(several.length, positives));
  return {
    samples: several.length,
    metrics: { [metric]: mean(precisions) },
    chance: { [metric]: mean(chances) },
    intervals: { [metric]: bootstrap(rankings, { images: several.length, resamples }) },
    classPrecisions: classes.map((name, id) => ({
      name,
      samples: at(rankings, id).positives,
      averagePrecision: at(precisions, id),
    })),
  };
}

/**
 * Average precision of a random order, in expectation: with r of n images right
 * (H_n + (r − 1)/(n − 1) · (n − H_n)) / n, where H_n = Σ 1/k; 0 without any.
 */
export function expectedPrecision(images: number, right: number): number {
  if (right === 0) return 0;
  let harmonic = 0;
  for (let k = 1; k <= images; k++) harmonic += 1 / k;
  const others = images === 1 ? 0 : (right - 1) / (images - 1);
  return (harmonic + others * (images - harmonic)) / images;
}

function rank({ image, weights, several, maxScores = 2 ** 22 }: MultiLabelInput): Ranking[] {
  const [images, classes] = [image.dim(0), weights.dim(0)];
  const step = Math.max(1, Math.floor(maxScores / images));
  const rankings: Ranking[] = [];
  for (let first = 0; first < classes; first += step) {
    const count = Math.min(step, classes - first);
    const scores = noGrad(() =>
      scope(() => matmul(narrow(weights, 0, first, count), transpose(image, 0, 1)).toTypedArray()),
    ) as Float32Array;
    for (let id = 0; id < count; id++) {
      const own = scores.subarray(id * images, (id + 1) * images);
      const order = Int32Array.from(own.keys()).sort((a, b) => at(own, b) - at(own, a) || a - b);
      rankings.push({ order, shows: new Uint8Array(images), positives: 0 });
    }
  }
  const positives = new Int32Array(classes);
  several.forEach((ids, row) => {
    for (const id of new Set(Array.from(ids))) {
      if (id < 0) continue;
      at(rankings, id).shows[row] = 1;
      positives[id] = at(positives, id) + 1;
    }
  });
  return rankings.map((ranking, id) => ({ ...ranking, positives: at(positives, id) }));
}

/** Average precision where each image is there `counts` times. */
function averagePrecision({ order, shows }: Ranking, counts: Int32Array): number {
  let seen = 0;
  let right = 0;
  let sum = 0;
  for (const row of order) {
    for (let copy = 0; copy < at(counts, row); copy++) {
      seen++;
      if (at(shows, row) === 0) continue;
      right++;
      sum += right / seen;
    }
  }
  return right === 0 ? 0 : sum / right;
}

function bootstrap(
  rankings: readonly Ranking[],
  { images, resamples }: { readonly images: number; readonly resamples: number },
): Interval {
  const random = new CounterRng({ seed: 0, purpose: 'bootstrap', epoch: 0 });
  const means = Float64Array.from({ length: resamples }, () => {
    const counts = new Int32Array(images);
    for (let i = 0; i < images; i++) {
      const row = random.integer(images);
      counts[row] = at(counts, row) + 1;
    }
    return mean(rankings.map((ranking) => averagePrecision(ranking, counts)));
  }).sort();
  const nearest = (q: number): number => at(means, Math.round(q * (resamples - 1)));
  return [nearest(0.025), nearest(0.975)];
}
