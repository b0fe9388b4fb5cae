import { at } from '../../base/at.js';
import { mean, noGrad, normalize, scope, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { wilson, type Interval } from '../statistics/intervals.js';
import { classReports, meanRecall, type ClassReport } from './classification.js';
import { confusions, type Confusion } from './confusions.js';
import type { Scores } from './scores.js';
import { rankPositives, type RankOptions } from './ranks.js';

/**
 * One weight vector per class from the embeddings of its prompts: each embedding normalised, their
 * mean over the prompts, normalised again (Radford et al. 2021, section 3.1.4).
 *
 * @param prompts [C, T, D]: T prompts for each of C classes.
 * @returns [C, D], L2-normalised.
 */
export function classifierWeights(prompts: Tensor): Tensor {
  return noGrad(() =>
    scope(() => normalize(mean(normalize(prompts, { dim: -1 }), { dim: 1 }), { dim: -1 })),
  );
}

export interface ZeroShotInput extends RankOptions {
  /** [N, D] float32, L2-normalised. */
  readonly image: Tensor;
  /** [C, D] of {@link classifierWeights}. */
  readonly weights: Tensor;
  /** C names. */
  readonly classes: readonly string[];
  /** Class of each image; images with −1 are left out. */
  readonly labels: Int32Array;
}

export interface ZeroShotResult extends Scores {
  readonly intervals: Record<string, Interval>;
  /** Images that have a class. */
  readonly samples: number;
  /** Accuracy of always answering with the commonest class. */
  readonly majority: number;
  /** The confusions that cost the most accuracy, worst first. */
  readonly confusions: readonly Confusion[];
  /** Recall of each class that occurs. */
  readonly classReports: readonly ClassReport[];
  /** Rank of each image's class, from 0; −1 for images without one. */
  readonly ranks: Int32Array;
  /** Class that each image was taken for. */
  readonly predicted: Int32Array;
}

/**
 * Zero-shot classification as CLIP_benchmark measures it: `acc1`, `acc5` (null below five classes)
 * and `mean_per_class_recall` (over the classes that occur). The answer is the argmax of x·W, the first of equals; CLIP's factor 100 does not change the order. Chance is a
 * guess among the classes with equal odds. Intervals are Wilson's for accuracies, and by the variance
 * within classes for the mean over classes.
 *
 * @throws BantamError when no image has a class.
 */
export function zeroShot(input: ZeroShotInput): ZeroShotResult {
  const { image, weights, classes, labels, ...options } = input;
  const samples = labels.reduce((count, label) => count + (label < 0 ? 0 : 1), 0);
  if (samples === 0) {
    throw new BantamError('No image has a class, so there is nothing to classify; add labels.');
  }
  const truths = Array.from(labels, (label) => [Math.max(label, 0)]);
  const { positive, first: predicted } = rankPositives(image, weights, truths, options);
  const ranks = positive.map((rank, row) => (at(labels, row) < 0 ? -1 : rank));
  const within = (k: number): number =>
    ranks.reduce((count, rank) => count + (rank >= 0 && rank < k ? 1 : 0), 0);
  const [first, five] = [within(1), classes.length >= 5 ? within(5) : null];
  const reports = classReports({ classes, labels, predicted });
  const recall = meanRecall(reports);
  const even = 1 / classes.length;
  return {
    samples,
    metrics: {
      acc1: first / samples,
      acc5: five === null ? null : five / samples,
      mean_per_class_recall: recall.value,
    },
    chance: {
      acc1: even,
      acc5: five === null ? null : 5 * even,
      mean_per_class_recall: even,
    },
    intervals: {
      acc1: wilson(first, samples),
      ...(five !== null && { acc5: wilson(five, samples) }),
      mean_per_class_recall: recall.interval,
    },
    majority: Math.max(...reports.map((report) => report.samples)) / samples,
    confusions: confusions({ classes, labels, predicted }),
    classReports: reports,
    ranks,
    predicted,
  };
}
