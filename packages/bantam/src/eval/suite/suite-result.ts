import type { RobustnessLine, RobustnessPoint } from '../statistics/effective-robustness.js';
import type { Interval } from '../statistics/intervals.js';
import type { EvaluationResult } from '../tasks/result.js';

/** A model of a suite. */
export interface SuiteModel {
  /** Name in tables: that of its folder, or of the run. */
  readonly name: string;
  readonly directory: string;
  /** SHA-256 of its files. */
  readonly hash: string;
}

/** A result and the model that it is of. */
export interface SuiteEntry extends EvaluationResult {
  readonly model: string;
  /** The metric that averages count, if this is the data set's main result. */
  readonly main?: string;
  readonly tags: readonly string[];
}

/** A data set that a suite names and that cannot be read here. */
export interface MissingDataset {
  readonly name: string;
  readonly reason: string;
  /** How to get it. */
  readonly get?: string;
}

/** A task that a data set or a model does not allow. */
export interface RefusedTask {
  readonly model: string;
  readonly dataset: string;
  readonly task: string;
  readonly reason: string;
}

/** Mean of the main metrics of some data sets. */
export interface SuiteAverage {
  readonly model: string;
  /** `all`, or a tag. */
  readonly name: string;
  readonly value: number;
  /** Data sets that were measured, and those that the suite has. */
  readonly measured: number;
  readonly of: number;
}

/** A data set, the in-distribution one that it is a shift of, and what is measured on both. */
export interface ShiftPair {
  readonly dataset: string;
  readonly shiftOf: string;
  readonly task: string;
  readonly labels?: string;
  readonly metric: string;
}

/** Accuracies of a named model on both data sets of a pair. */
export interface NamedPoint extends RobustnessPoint {
  readonly name: string;
}

/** One model on a shifted data set, beside what a line through other models predicts. */
export interface ModelRobustness extends RobustnessPoint {
  readonly model: string;
  readonly line: RobustnessLine;
  /** Models that the line is of. */
  readonly of: readonly string[];
  /** Accuracy on the shifted data set that the line predicts from that on the reference. */
  readonly predicted: number;
  /** {@link effectiveRobustness}. */
  readonly effective: number;
  /** 95 % interval by the images of both data sets; the line's own error is left out. */
  readonly interval: Interval;
}

/** Effective robustness of models on one pair of data sets. */
export interface ShiftRobustness extends ShiftPair {
  readonly models: readonly ModelRobustness[];
  /** Baseline models of the line; empty if it is that of the other models of the run. */
  readonly baselines: readonly NamedPoint[];
  /** Root of the mean square by which the baselines miss their line; null for fewer than three. */
  readonly spread: number | null;
  /** Models without a line, and why. */
  readonly without: readonly { readonly model: string; readonly reason: string }[];
}

/** Everything that a run of a suite found. Plain data. */
export interface SuiteReport {
  readonly suite: string;
  readonly protocols: readonly string[];
  readonly models: readonly SuiteModel[];
  readonly results: readonly SuiteEntry[];
  readonly averages: readonly SuiteAverage[];
  /** Effective robustness on data sets that are shifts of others; empty if there are none. */
  readonly robustness: readonly ShiftRobustness[];
  readonly missing: readonly MissingDataset[];
  readonly refused: readonly RefusedTask[];
  /** Results that came from an earlier run. */
  readonly reused: number;
  readonly seconds: number;
}
