import type { LicenceNotice } from '../data/index.js';
import type { EvaluationResult } from '../eval/index.js';
import type { MetricsRow, ValidationRow } from '../train/index.js';

/** What was trained, on what, for how long. */
export interface RunFacts {
  /** Name of the model's configuration. */
  readonly model: string;
  readonly parameters: number;
  /** Source specification of the training data. */
  readonly data: string;
  readonly samplesSeen: number;
  /** Training time. */
  readonly seconds: number;
  /** The computer, e.g. `2 cores, Intel Xeon, AMX, 8 GB`. */
  readonly machine: string;
  readonly batchSize: number;
  readonly precision: string;
  readonly seed?: number;
  /** More facts by name, shown after these. */
  readonly more?: Readonly<Record<string, string>>;
}

/** A picture of the data set, small enough to stand in the page. */
export interface Picture {
  /** What it shows, for those who cannot see it. */
  readonly alt: string;
  /** `data:image/png;base64,…` */
  readonly uri: string;
}

/** Pictures of one data set that fit a query best, best first. */
export interface SearchStrip {
  readonly dataset: string;
  /** How the data set relates to what was trained on. */
  readonly kind?: string;
  readonly hits: readonly (Picture & { readonly score: number })[];
}

export interface SearchExample {
  readonly query: string;
  readonly strips: readonly SearchStrip[];
}

/** Pictures of one class that were taken for another. */
export interface ConfusionExample {
  readonly dataset: string;
  readonly truth: string;
  readonly predicted: string;
  readonly count: number;
  /** Pictures that the true class has. */
  readonly of: number;
  /** Some of those that were mistaken. */
  readonly mistaken: readonly Picture[];
  /** Some that do belong to the class that they were taken for. */
  readonly lookalikes: readonly Picture[];
}

/** What to do after reading. */
export interface NextStep {
  readonly what: string;
  readonly command: string;
}

/** All that a report shows. */
export interface ReportData {
  readonly title: string;
  readonly date: Date;
  readonly run: RunFacts;
  /** Rows of `metrics.jsonl`. */
  readonly metrics: readonly MetricsRow[];
  /** Rows of `validation.jsonl`; none by default. */
  readonly validations?: readonly ValidationRow[];
  readonly results: readonly EvaluationResult[];
  readonly searches: readonly SearchExample[];
  readonly confusions: readonly ConfusionExample[];
  readonly next: readonly NextStep[];
  /** Whose pictures the page shows, and under which licence. */
  readonly licences: readonly LicenceNotice[];
}
