import type { Clip, ModelConfig, Preprocess } from '../../models/index.js';
import type { ExportPrecision, GraphPart } from '../model-graph.js';

/** The name of the manifest in an exported directory. */
export const MANIFEST = 'bantam.json';

/** Format of {@link ExportManifest}, which its readers check. */
export const MANIFEST_FORMAT = 'bantam-onnx';

/** Version of the format. A reader refuses a higher one. */
export const MANIFEST_VERSION = 1;

/** A graph's names in its file. */
export interface GraphNames {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Files of a precision, relative to the directory. */
export interface ExportedFiles {
  readonly image: string;
  readonly text: string;
  readonly both: string;
  /** Bytes of all three, external data included. */
  readonly bytes: Readonly<Record<GraphPart, number>>;
  /** Weights of a graph are in `FILE_data` beside it. */
  readonly externalData: boolean;
}

/** Ids of a tokenizer; null: it has none. */
export interface ManifestTokenizer {
  /** `model.type` of `tokenizer.json`: `BPE`, `Unigram`, `WordPiece`. */
  readonly kind: string;
  /** Cleaning of a text before `tokenizer.json`: `none`, `whitespace`, `lower` or `canonicalize`. */
  readonly clean: string;
  /** Most ids of a text, special tokens included; the end of a longer one is cut off before its end token. */
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly startId: number | null;
  readonly endId: number | null;
  /** Id that fills up the shorter texts of a batch. */
  readonly padId: number;
}

/**
 * The manifest of an exported directory: all that a program needs to use its graphs as Bantam uses
 * the model.
 */
export interface ExportManifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly version: typeof MANIFEST_VERSION;
  /** Hash of `identifyModel`, equal for all precisions: an index of this model's vectors has it too. */
  readonly modelHash: string;
  readonly description: string;
  /** Length of the features. */
  readonly embedDim: number;
  readonly preprocess: Preprocess;
  readonly tokenizer: ManifestTokenizer;
  readonly logits: {
    /** From logits to probabilities: over the texts of an image, or for each pair alone. */
    readonly activation: 'softmax' | 'sigmoid';
    /** Weight of the cosine: s in s·x·y + b. */
    readonly scale: number;
    /** b; null: none. */
    readonly bias: number | null;
  };
  readonly graphs: Readonly<Record<GraphPart, GraphNames>>;
  readonly precisions: Readonly<Partial<Record<ExportPrecision, ExportedFiles>>>;
  /** Agreement with Bantam's own features, see `docs/export.md`; null: it was not checked. */
  readonly check: unknown;
}

/** Input and output names of the graphs of a model. */
export function graphNames({ initLogitBias }: ModelConfig): Record<GraphPart, GraphNames> {
  const pooled = initLogitBias === null ? [] : ['pooler_output'];
  return {
    image: { inputs: ['pixel_values'], outputs: ['image_embeds', ...pooled] },
    text: { inputs: ['input_ids'], outputs: ['text_embeds', ...pooled] },
    both: {
      inputs: ['pixel_values', 'input_ids'],
      outputs: ['logits_per_image', 'logits_per_text', 'text_embeds', 'image_embeds'],
    },
  };
}

/** The logits of a model. */
export function manifestLogits({ logitScale, logitBias }: Clip): ExportManifest['logits'] {
  return {
    activation: logitBias === null ? 'softmax' : 'sigmoid',
    scale: Math.exp(logitScale.item()),
    bias: logitBias === null ? null : logitBias.item(),
  };
}
