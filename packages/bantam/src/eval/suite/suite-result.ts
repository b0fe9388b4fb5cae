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

/** Everything that a run of a suite found. Plain data. */
export interface SuiteReport {
  readonly suite: string;
  readonly protocols: readonly string[];
  readonly models: readonly SuiteModel[];
  readonly results: readonly SuiteEntry[];
  readonly averages: readonly SuiteAverage[];
  readonly missing: readonly MissingDataset[];
  readonly refused: readonly RefusedTask[];
  /** Results that came from an earlier run. */
  readonly reused: number;
  readonly seconds: number;
}
