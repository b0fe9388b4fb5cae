import { at } from '../base/at.js';
import { mean, noGrad, normalize, scope, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';
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
  /** Images that have a class. */
  readonly samples: number;
  /** Accuracy of always answering with the commonest class. */
  readonly majority: number;
  /** The confusions that cost the most accuracy, worst first. */
  readonly confusions: readonly Confusion[];
}

/**
 * Zero-shot classification as CLIP_benchmark measures it: `acc1`, `acc5` (null below five classes)
 * and `mean_per_class_recall` (over the classes that occur). The answer is the argmax of x·W, the
 * first of equals; CLIP's factor 100 does not change the order. Chance is a guess among the classes
 * with equal odds.
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
  const ranks = rankPositives(image, weights, truths, options);
  const sizes = new Float64Array(classes.length);
  const hits = new Float64Array(classes.length);
  const inTop = { 1: 0, 5: 0 };
  labels.forEach((truth, row) => {
    if (truth < 0) return;
    const rank = at(ranks.positive, row);
    sizes[truth] = at(sizes, truth) + 1;
    if (rank < 5) inTop[5]++;
    if (rank > 0) return;
    inTop[1]++;
    hits[truth] = at(hits, truth) + 1;
  });
  const recalls = Array.from(hits, (count, id) => count / at(sizes, id)).filter(Number.isFinite);
  const five = classes.length >= 5;
  const even = 1 / classes.length;
  return {
    samples,
    metrics: {
      acc1: inTop[1] / samples,
      acc5: five ? inTop[5] / samples : null,
      mean_per_class_recall: recalls.reduce((sum, recall) => sum + recall) / recalls.length,
    },
    chance: { acc1: even, acc5: five ? 5 * even : null, mean_per_class_recall: even },
    majority: Math.max(...sizes) / samples,
    confusions: confusions({ classes, labels, predicted: ranks.first }),
  };
}
