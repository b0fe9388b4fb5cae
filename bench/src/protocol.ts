/** Requests of the orchestrator to a worker and its replies, one JSON line each. */

/** Kind of work that is measured. */
export type WorkloadKind = 'train' | 'image' | 'text' | 'load';

/** Precision of the towers; `bf16` is autocast or bf16 weights, whichever suits. */
export type Precision = 'fp32' | 'bf16';

/** That of a workload; int8, for inference, is Bantam's alone, and the baseline has another one then. */
export type WorkloadPrecision = Precision | 'int8';

/** AdamW's settings, equal in both implementations. */
export interface OptimizerNumbers {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

/** Work that a process holds ready: a model with its weights and some batches in a folder. */
export interface ModelWorkload {
  readonly kind: 'train' | 'image' | 'text';
  readonly precision: WorkloadPrecision;
  /** Of model and batches, by libtorch's name: `cpu`, `cuda:0`. */
  readonly device: string;
  /** Made by the Bantam worker's `prepare`. */
  readonly folder: string;
  readonly optimizer: OptimizerNumbers;
}

/** Images from files to training batches; a step is an epoch. */
export interface LoadWorkload {
  readonly kind: 'load';
  readonly format: LoadFormat;
  /** The table, or the folder of shards. */
  readonly data: string;
  readonly shards: number;
  readonly count: number;
  readonly batch: number;
  readonly size: number;
  readonly workers: number;
  /** CLIP's vocabulary file. */
  readonly vocabulary: string;
}

/** A table of image files, or their packed shards. */
export type LoadFormat = 'csv' | 'wds';

export type Workload = ModelWorkload | LoadWorkload;

/** The baseline's choices; each trial tries one of them. */
export interface BaselineSettings {
  /** `bf16` keeps the weights themselves in bf16, for inference only; `fp32` autocasts. */
  readonly weights: 'fp32' | 'bf16';
  readonly fusedAdamW: boolean;
  readonly compile: boolean;
  readonly channelsLast: boolean;
  /** Attention as plain products instead of the fused kernel. */
  readonly mathAttention: boolean;
  /** malloc keeps freed memory instead of returning it to the system. */
  readonly keepMemory: boolean;
}

/** A model to write with batches of real captions. */
export interface PrepareRequest {
  readonly op: 'prepare';
  readonly folder: string;
  readonly model: string;
  readonly imageSize?: number;
  readonly batch: number;
  /** Batches, repeated in order. */
  readonly batches: number;
  /** Repeats each caption's words up to this many tokens; default: captions unchanged. */
  readonly captionTokens?: number;
  /** CLIP's vocabulary file; null trains a tokenizer on the captions. */
  readonly vocabulary: string | null;
}

/** Pairs to split and write for both implementations, with the model that both train. */
export interface PairsRequest {
  readonly op: 'pairs';
  readonly folder: string;
  readonly model: string;
  /** A source of image files with captions, as Bantam's commands take it. */
  readonly data: string;
  /** Fraction of the images that are held out. */
  readonly heldOut: number;
  readonly seed: number;
}

/** Result of `pairs`: numbers of pairs. */
export interface Pairs {
  readonly train: number;
  readonly heldOut: number;
}

/** Training for a time on what `pairs` wrote, then features of the held-out pairs. */
export interface LearnRequest {
  readonly op: 'learn';
  readonly folder: string;
  readonly model: string;
  readonly seconds: number;
  readonly batch: number;
  /** Workers that decode and augment images. */
  readonly workers: number;
  readonly seed: number;
  readonly optimizer: OptimizerNumbers;
}

/** Result of `learn`: samples trained on, and features of the held-out pairs in order. */
export interface LearnReply {
  readonly samples: number;
  /** float32 of length 1, little-endian, base64. */
  readonly image: string;
  readonly text: string;
}

/** Features of both towers, a row for each pair, to be scored. */
export interface RecallsRequest {
  readonly op: 'recalls';
  readonly folder: string;
  readonly image: string;
  readonly text: string;
}

/** Recalls from 0 to 1: of the image by its caption, and of the caption by its image. */
export interface Recalls {
  readonly image1: number;
  readonly image10: number;
  readonly text1: number;
  readonly text10: number;
}

export type Request =
  | PrepareRequest
  | PairsRequest
  | LearnRequest
  | RecallsRequest
  | { readonly op: 'open'; readonly workload: Workload; readonly settings?: BaselineSettings }
  | { readonly op: 'check' }
  | { readonly op: 'run'; readonly steps: number }
  | { readonly op: 'memory' }
  | { readonly op: 'facts'; readonly device?: string }
  | {
      readonly op: 'rate';
      readonly precision: Precision;
      readonly device: string;
      readonly seconds: number;
    };

/** Result of `prepare`. */
export interface Prepared {
  readonly parameters: number;
  /** Tokens of the captions, special tokens included. */
  readonly tokens: {
    readonly mean: number;
    readonly longest: number;
    readonly context: number;
  };
  /** FLOPs of a forward pass, per sample. */
  readonly flops: {
    readonly image: number;
    /** At the captions' real lengths. */
    readonly text: number;
    /** At the whole context, as the baseline computes it. */
    readonly textPadded: number;
  };
}

/** The first steps of a training workload, or the features of an inference workload's first batch. */
export interface Checked {
  /** Seconds of the fastest of these steps. */
  readonly seconds: number;
  readonly losses?: readonly number[];
  readonly gradNorms?: readonly number[];
  /** float32, little-endian, base64. */
  readonly features?: string;
  /** Mean of the loaded pixels of each channel, after normalisation. */
  readonly channelMeans?: readonly number[];
}

export interface Ran {
  readonly seconds: number;
}

export interface Memory {
  /**
   * Most memory of tensors on a GPU, else most resident memory, since the workload was opened; null on
   * systems that do not report it.
   */
  readonly peakBytes: number | null;
}

export interface BaselineFacts {
  readonly torch: string;
  readonly openClip: string;
  readonly threads: number;
  readonly vocabulary: string;
  /** Names of OpenCLIP's own models. */
  readonly models: readonly string[];
}

export interface BantamFacts {
  readonly torch: string;
  /** The device of that name with its index, and the GPU's own name if it has one. */
  readonly device: { readonly name: string; readonly model: string | null };
  readonly threads: number;
  /** Instructions that Bantam's kernels use, as `BANTAM_MAX_ISA` names them. */
  readonly level: string;
  readonly presets: readonly string[];
}
