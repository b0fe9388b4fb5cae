/** Messages between the server and the process of a model. */
import type { InferencePrecision } from '../../eval/load-for-inference.js';
import type { Preprocess } from '../../models/index.js';

/** First message to the process. */
export interface StartMessage {
  readonly directory: string;
  readonly precision: InferencePrecision;
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
}

/** Work for the process. */
export type Job =
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

export interface JobMessage {
  readonly id: number;
  readonly job: Job;
}

/** Answer of the process: once to its start, then to each job. */
export type ProcessMessage =
  | { readonly ready: ModelDescription }
  | { readonly refused: string }
  | { readonly id: number; readonly encoded: Encoded; readonly residentBytes: number }
  | { readonly id: number; readonly error: string };
