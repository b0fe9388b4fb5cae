import type { LicenceNotice } from '../data/index.js';
import type { EvaluationResult } from '../eval/index.js';
import type { MetricsRow, ValidationRow } from '../train/index.js';

/** Model, data and duration of a run. */
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

/** An image of a data set, small enough to be inlined. */
export interface Thumbnail {
  /** Its caption, for screen readers. */
  readonly alt: string;
  /** `data:image/png;base64,…` */
  readonly uri: string;
}

/** Hits of a query in one data set, best first. */
export interface SearchStrip {
  readonly dataset: string;
  /** Relation of the data set to the training data. */
  readonly kind?: string;
  readonly hits: readonly (Thumbnail & { readonly score: number })[];
}

export interface SearchExample {
  readonly query: string;
  readonly strips: readonly SearchStrip[];
}

/** Images of one class that were classified as another. */
export interface ConfusionExample {
  readonly dataset: string;
  readonly truth: string;
  readonly predicted: string;
  readonly count: number;
  /** Images of the true class. */
  readonly of: number;
  /** Some of the misclassified images. */
  readonly mistaken: readonly Thumbnail[];
  /** Some images that do belong to the predicted class. */
  readonly lookalikes: readonly Thumbnail[];
}

/** A suggestion with its command. */
export interface NextStep {
  readonly what: string;
  readonly command: string;
}

/** Contents of a report. */
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
  /** Licences of the images on the page. */
  readonly licences: readonly LicenceNotice[];
}
