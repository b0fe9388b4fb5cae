/** Messages between the server and the process of a model. */
import type { InferencePrecision } from '../../eval/load-for-inference.js';
import type { Preprocess } from '../../models/index.js';
import type { IndexRecord, VectorSearch } from '../../search/index.js';

/** First message to the process. */
export interface StartMessage {
  readonly directory: string;
  readonly precision: InferencePrecision;
  readonly device: string;
  /** Paths of indexes by name; those of other models are left out. */
  readonly indexes: Readonly<Record<string, string>>;
}

/** An index that the model of the process made. */
export interface IndexDescription {
  /** Number of images. */
  readonly size: number;
  /** True if searches go through a graph. */
  readonly isApproximate: boolean;
}

/** A loaded model as its process describes it. */
export interface ModelDescription {
  /** Values of an embedding. */
  readonly dimensions: number;
  /** Most tokens of a text. */
  readonly contextLength: number;
  readonly preprocess: Preprocess;
  /** Factor from cosines to logits. */
  readonly logitScale: number;
  /** Bias of the logits of a model trained with the sigmoid loss; null: the loss was softmax. */
  readonly logitBias: number | null;
  /** The indexes that it made, by name. */
  readonly indexes: Readonly<Record<string, IndexDescription>>;
}

/** Embeddings to compute. */
export type EncodeJob =
  | { readonly kind: 'text'; readonly texts: readonly string[] }
  /** RGB pixels [B, S, S, 3] in the model's size. */
  | { readonly kind: 'image'; readonly pixels: Uint8Array; readonly count: number };

/** Embeddings of a job. */
export interface Encoded {
  /** [B, D], each row of length 1. */
  readonly features: Float32Array;
  /** Tokens of each text, special ones included; none for images. */
  readonly tokens: readonly number[];
  /** True for each text whose end did not fit the context. */
  readonly truncated: readonly boolean[];
}

/** Part of a query: an embedding, or the key of an image of the index. */
export type SearchPart = { readonly weight: number } & (
  { readonly kind: 'text' | 'image'; readonly vector: Float32Array } | { readonly key: string }
);

/** A search in one of the process's indexes. */
export interface SearchJob extends Pick<VectorSearch, 'minScore' | 'falsePositiveRate'> {
  readonly kind: 'search';
  readonly index: string;
  readonly parts: readonly SearchPart[];
  readonly k: number;
  /** Conditions as people write them: `price<50`. */
  readonly where: readonly string[];
}

/** Images that a search found, best first, with all that the index knows of them. */
export interface Found {
  readonly hits: readonly (Omit<IndexRecord, 'stamp'> & { readonly score: number })[];
}

/** Work for the process. */
export type Job = EncodeJob | SearchJob;

export interface JobMessage {
  readonly id: number;
  readonly job: Job;
}

/** Answer of the process: once to its start, then to each job. */
export type ProcessMessage =
  | { readonly ready: ModelDescription }
  | { readonly refused: string }
  | { readonly id: number; readonly result: Encoded | Found; readonly residentBytes: number }
  /** `isRefusal`: the job itself was wrong. */
  | { readonly id: number; readonly error: string; readonly isRefusal: boolean };
