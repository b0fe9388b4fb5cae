import { at } from '../../base/at.js';
import type { DataRecord, LabelSet, Source } from '../../data/index.js';
import type { LoadedModel } from '../../models/index.js';
import type { EvalDataset } from '../datasets.js';
import type { Embeddings } from '../embed.js';
import type { Protocols } from '../protocols/protocols.js';

/** A data set with its embeddings, while it is being evaluated. */
export interface EmbeddedDataset {
  readonly dataset: EvalDataset;
  readonly source: Source;
  readonly embeddings: Embeddings;
}

/** A data set that is being evaluated, as tasks need it. */
export interface DatasetContext extends EmbeddedDataset {
  readonly loaded: LoadedModel;
  readonly protocols: Protocols;
  /** The source's classifications, with ImageNet's names where they are ImageNet's. */
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  /** Adds per-class tables and calibration. */
  readonly details: boolean;
  readonly onHits: ((hits: Hits) => void) | undefined;
}

/** Right and wrong answers of a model, item by item, to be compared with another model's. */
export interface Hits {
  readonly dataset: string;
  readonly task: string;
  /** Metric that is the mean of `hits`. */
  readonly metric: string;
  readonly labels?: string;
  /** Key of each item's image. */
  readonly keys: readonly string[];
  readonly hits: Uint8Array;
  /** The caption that each item asks with, in retrieval of images. */
  readonly queries?: readonly string[];
  /** The answers, and the right ones, in words. */
  readonly answers: readonly string[];
  readonly truths: readonly string[];
}

/** The facts of a result that are of the data set alone. */
export function datasetFacts({ dataset, embeddings }: EmbeddedDataset) {
  const { name, spec, kind } = dataset;
  return {
    dataset: name,
    spec,
    ...(kind !== undefined && { kind }),
    quarantined: embeddings.quarantined.length,
  };
}

/** A classification's class of each embedded image; −1: none. */
export function labelsOfRows({ labels }: LabelSet, { records }: Embeddings): Int32Array {
  return records.map((record) => at(labels, record));
}

/** The record of each embedded image. */
export function recordsOf({ source, embeddings }: EmbeddedDataset): DataRecord[] {
  return Array.from(embeddings.records, (record) => source.record(record));
}
