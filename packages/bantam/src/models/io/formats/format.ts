import type { Tensor } from '@bantam/torch';
import type { Cleaning, Tokenizer } from '../../../text/index.js';
import type { Clip } from '../../clip.js';
import type { ModelConfig } from '../../config.js';
import type { Preprocess } from '../../preprocess.js';

/** A model with all that a directory of any format holds. */
export interface SaveModelOptions {
  config: ModelConfig;
  model: Clip;
  /** Left out where texts will never be encoded. */
  tokenizer?: Tokenizer;
  preprocess: Preprocess;
  /** Anything JSON can hold. Default: nothing. */
  info?: Readonly<Record<string, unknown>>;
}

/** Weights by name. */
export type Weights = ReadonlyMap<string, Tensor>;

/** Contents of a directory; the weights are read later. */
export interface ModelFiles {
  readonly config: ModelConfig;
  readonly preprocess: Preprocess;
  /** The file or files with the weights, for messages. */
  readonly weightsName: string;
  /**
   * The weights by the names that {@link Clip.stateDict} has, of any floating-point type. It runs
   * within a scope. `edit` changes them under the names that the files have.
   */
  readonly readWeights: (edit?: (stored: Weights) => Weights) => Weights;
  /** Cleaning of texts before the directory's tokenizer; default: OpenCLIP's. */
  readonly clean?: Cleaning;
  readonly info: Readonly<Record<string, unknown>>;
}

/** Contents of a model that was named. */
export interface OpenedModel extends ModelFiles {
  /** Folder that may hold its tokenizer. */
  readonly directory: string | null;
}

/** The stored weights themselves. */
export function unchanged(stored: Weights): Weights {
  return stored;
}

/** A format of model directories. A new one is a file here and a line in `formats.ts`. */
export interface ModelFormat {
  /** As `bantam models convert --to` takes it. */
  readonly name: string;
  /** Owner of the format, for messages: `OpenCLIP's`. */
  readonly owner: string;
  /** True if a file of this name may be a part of such a directory, and so be replaced by another. */
  owns(file: string): boolean;
  /** True if the directory, which holds `files`, is of this format. */
  recognises(directory: string, files: readonly string[]): Promise<boolean>;
  /**
   * @param weights - Path of a file with the weights; default: that of the directory
   * @throws BantamError if the directory asks for what Bantam does not have.
   */
  load(directory: string, weights?: string): Promise<ModelFiles>;
  /**
   * Writes a model's files into an empty folder.
   *
   * @throws BantamError if the format has no place for a part of the model.
   */
  save(directory: string, model: SaveModelOptions): Promise<void>;
}

/** Settings without an effect on what a model with weights computes. */
const idle = [
  'patchDropout',
  'dropPath',
  'customText',
  'initLogitScale',
  'hfTokenizerName',
  'tokenizerKwargs',
  'padId',
  'attnPoolerQueries',
  'attnPoolerHeads',
];

/**
 * The first member by which a model computes something else than one that another configuration
 * describes, with its value: `"noLnPre" true of "vision"`. Formats refuse models that they cannot describe by it.
 */
export function configDifference(config: ModelConfig, read: ModelConfig): string | undefined {
  const { vision, text, ...top } = config;
  return (
    firstDifference(top, read) ??
    firstDifference(vision, read.vision, ' of "vision"') ??
    firstDifference(text, read.text, ' of "text"')
  );
}

function firstDifference(own: object, read: object, where = ''): string | undefined {
  const others = new Map<string, unknown>(Object.entries(read));
  // The id of the end matters to those alone who look for it.
  const unused = others.get('poolType') === 'eos' ? idle : [...idle, 'eosId'];
  for (const [key, value] of Object.entries(own) as [string, unknown][]) {
    if (unused.includes(key)) continue;
    const json = JSON.stringify(value);
    if (json !== JSON.stringify(others.get(key))) return `"${key}" ${json}${where}`;
  }
  return undefined;
}
