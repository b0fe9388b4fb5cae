import { at } from '../../base/at.js';
import {
  fractionInterval,
  stratifiedVariance,
  wilson,
  type Cluster,
  type Interval,
} from '../statistics/intervals.js';

/** How well one class, or one group of images, is recognised. */
export interface ClassScore {
  readonly name: string;
  /** Images that belong to it. */
  readonly samples: number;
  /** Fraction of them that are classified right. */
  readonly recall: number;
  readonly interval: Interval;
}

/** {@link ClassScore} with the precision of predictions. */
export interface ClassReport extends ClassScore {
  /** Fraction of the images taken for this class that are of it; null if there are none. */
  readonly precision: number | null;
  /** Harmonic mean of recall and precision; 0 if no image is classified right. */
  readonly f1: number;
}

export interface ClassReportInput {
  readonly classes: readonly string[];
  /** True class of each image; images with −1 are left out. */
  readonly labels: Int32Array;
  /** Class that each image was taken for. */
  readonly predicted: Int32Array;
}

/** Recall, precision and F1 of each class that occurs, in the order of the classes. */
export function classReports({ classes, labels, predicted }: ClassReportInput): ClassReport[] {
  const sizes = new Int32Array(classes.length);
  const hits = new Int32Array(classes.length);
  const guesses = new Int32Array(classes.length);
  labels.forEach((truth, row) => {
    if (truth < 0) return;
    const guess = at(predicted, row);
    sizes[truth] = at(sizes, truth) + 1;
    guesses[guess] = at(guesses, guess) + 1;
    if (guess === truth) hits[truth] = at(hits, truth) + 1;
  });
  return classes.flatMap((name, id) => {
    const [samples, right, guessed] = [at(sizes, id), at(hits, id), at(guesses, id)];
    if (samples === 0) return [];
    return {
      name,
      samples,
      recall: right / samples,
      interval: wilson(right, samples),
      precision: guessed === 0 ? null : right / guessed,
      f1: (2 * right) / (samples + guessed),
    };
  });
}

/** Mean of F1 over the classes that occur: WILDS' `F1-macro_all`. */
export function macroF1(reports: readonly ClassReport[]): number {
  return reports.reduce((sum, { f1 }) => sum + f1, 0) / reports.length;
}

/**
 * Macro F1 of a guess with equal odds, to first order in the counts: a class of n of N images is taken
 * for itself n/C times and guessed N/C times, so its F1 is (2n/C)/(n + N/C).
 */
export function chanceF1(reports: readonly ClassReport[], classes: number): number {
  const total = reports.reduce((sum, { samples }) => sum + samples, 0);
  const scores = reports.map(
    ({ samples }) => (2 * samples) / classes / (samples + total / classes),
  );
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** Mean over classes of their recall, and its 95 % interval. */
export function meanRecall(scores: readonly Pick<ClassScore, 'recall' | 'samples'>[]): {
  readonly value: number;
  readonly interval: Interval;
} {
  const value = scores.reduce((sum, { recall }) => sum + recall, 0) / scores.length;
  const clusters: Cluster[] = scores.map(({ recall, samples }) => ({
    hits: recall * samples,
    trials: samples,
  }));
  return { value, interval: fractionInterval(value, stratifiedVariance(clusters)) };
}
