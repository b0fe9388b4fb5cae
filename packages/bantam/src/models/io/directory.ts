import { scope } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Tokenizer } from '../../text/index.js';
import { createModel, type Clip } from '../clip.js';
import { withChanges, type ModelConfig } from '../config.js';
import type { HubOptions } from '../hub/settings.js';
import { fuseModel, hasBranches } from '../inference/inference.js';
import { resizePositions } from '../positions.js';
import type { Preprocess } from '../preprocess.js';
import { isTextTransformer, readsPadding } from '../towers/text/text-transformer.js';
import { writeFolder } from './files.js';
import type { ModelFiles, SaveModelOptions } from './formats/format.js';
import { modelFormat } from './formats/formats.js';
import { openModel } from './open-model.js';
import { findTokenizer } from './tokenizer-files.js';
import { loadWeights, underOwnNames } from './weights.js';

/** A model with all that is needed to use it. */
export interface LoadedModel {
  readonly config: ModelConfig;
  /** In evaluation mode. */
  readonly model: Clip;
  /** Reading it throws a {@link BantamError} if the directory has no readable tokenizer. */
  readonly tokenizer: Tokenizer;
  readonly preprocess: Preprocess;
  /** `bantam.json`: information that OpenCLIP has no place for, such as the training run. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /** OpenAI's vocabulary (`bpe_simple_vocab_16e6.txt.gz`), for directories without a tokenizer. */
  merges?: string;
  /**
   * Side length of the input in pixels instead of the model's own; learned positions of patches are
   * interpolated, see {@link resizePositions}.
   */
  imageSize?: number;
  /** Most tokens of a text instead of the model's own; learned positions are interpolated. */
  contextLength?: number;
  /** Merge branches and batch norms if there are any, see {@link fuseModel}. Default false. */
  fused?: boolean;
  /** How models of the Hub are fetched. */
  hub?: HubOptions;
}

/**
 * The tokenizer of a model, as {@link loadModel} has it; the weights are not read.
 *
 * @throws BantamError if there is no model of this name, or it has no readable tokenizer.
 */
export async function loadModelTokenizer(name: string): Promise<Tokenizer> {
  const { clean, directory, config } = await openModel(name);
  const tokenizer = await findTokenizer(directory, config.text, { clean });
  return tokenizer();
}

/** Options of {@link exportModel}. */
export interface ExportModelOptions {
  /** Name of the format: `open-clip`, `hugging-face`, `openai`, … */
  format: string;
}

/** Options of {@link convertModel}. */
export type ConvertModelOptions = ExportModelOptions & LoadModelOptions;

/**
 * Writes a model directory that OpenCLIP loads unchanged (`local-dir:`): configuration, weights,
 * tokenizer, and `bantam.json`. The directory appears whole or not at all; an earlier model
 * directory of that name is replaced.
 *
 * @throws BantamError if the folder holds other files or cannot be written.
 */
export async function saveModel(directory: string, options: SaveModelOptions): Promise<void> {
  await exportModel(directory, options, { format: 'open-clip' });
}

/**
 * {@link saveModel} in any format.
 *
 * @throws BantamError also where the format has no place for a part of the model.
 */
export async function exportModel(
  directory: string,
  model: SaveModelOptions,
  options: ExportModelOptions,
): Promise<void> {
  const format = modelFormat(options.format);
  await writeFolder(
    directory,
    (file) => format.owns(file),
    (draft) => format.save(draft, model),
  );
}

/**
 * Reads a model: a directory of any format that Bantam knows, a file of weights, a model of the Hub, or
 * weights that OpenCLIP lists, see {@link locateModel}; the weights come as float32.
 *
 * @throws BantamError if the model or a file is missing or damaged, the configuration asks for what
 * Bantam does not have, or weights and configuration are of different models.
 */
export async function loadModel(
  name: string,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  const { clean, directory, ...files } = await openModel(name, options.hub);
  const wanted = resized(files.config, options);
  const tokenizer = await findTokenizer(directory, wanted.text, { ...options, clean });
  const own = attempt(tokenizer);
  const config = own instanceof BantamError ? wanted : paddedAs(wanted, own);
  const built = build(config, files).eval();
  const model = options.fused === true && hasBranches(config) ? fuseInPlaceOf(built) : built;
  return {
    config: model.config,
    model,
    get tokenizer() {
      return tokenizer();
    },
    preprocess: { ...files.preprocess, size: config.vision.imageSize },
    info: files.info,
  };
}

function resized(config: ModelConfig, { imageSize, contextLength }: LoadModelOptions): ModelConfig {
  if (imageSize === undefined && contextLength === undefined) return config;
  return withChanges(config, {
    ...(imageSize !== undefined && { vision: { imageSize } }),
    ...(contextLength !== undefined && { text: { contextLength } }),
  });
}

function build(config: ModelConfig, files: Omit<ModelFiles, 'clean'>): Clip {
  const model = createModel(config, { generator: null });
  try {
    scope(() => {
      const weights = underOwnNames(files.readWeights(), files.config);
      const resized = resizePositions(weights, { from: files.config, to: config });
      loadWeights(model, resized, files.weightsName);
    });
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

/** {@link fuseModel} of a model that is not needed any more. */
function fuseInPlaceOf(model: Clip): Clip {
  using given = model;
  return fuseModel(given);
}

/** Result of {@link convertModel}. */
export interface ConvertedModel {
  readonly config: ModelConfig;
  readonly preprocess: Preprocess;
  /** Why there is no tokenizer beside the model; null: there is one. */
  readonly withoutTokenizer: string | null;
}

/**
 * Reads a model directory and writes it in another format, or in its own with positions for another
 * image size or with merged branches. If its tokenizer cannot be read, the new directory has none.
 *
 * @throws BantamError if one of the two cannot be done.
 */
export async function convertModel(
  source: string,
  target: string,
  { format, fused = false, ...options }: ConvertModelOptions,
): Promise<ConvertedModel> {
  const loaded = await loadModel(source, options);
  const { preprocess, info } = loaded;
  using own = loaded.model;
  if (fused && !hasBranches(own.config)) {
    throw new BantamError(
      `Neither tower of ${source} has branches to merge: it is fused already, or of a kind without any (MobileCLIP and SiCLIP have them).`,
    );
  }
  using merged = fused ? fuseModel(own) : null;
  const model = merged ?? own;
  const { config } = model;
  const tokenizer = tokenizerOf(loaded);
  const found = tokenizer instanceof BantamError ? {} : { tokenizer };
  await exportModel(target, { config, model, preprocess, info, ...found }, { format });
  return {
    config,
    preprocess,
    withoutTokenizer: tokenizer instanceof BantamError ? tokenizer.message : null,
  };
}

/** A model's tokenizer, or why it cannot be read. */
export function tokenizerOf(loaded: LoadedModel): Tokenizer | BantamError {
  return attempt(() => loaded.tokenizer);
}

function attempt(read: () => Tokenizer): Tokenizer | BantamError {
  try {
    return read();
  } catch (error) {
    if (error instanceof BantamError) return error;
    throw error;
  }
}

/** The configuration with the tokenizer's padding, which OpenCLIP's files do not tell. */
export function paddedAs(config: ModelConfig, tokenizer: Tokenizer): ModelConfig {
  const { text } = config;
  if (!isTextTransformer(text) || !readsPadding(text)) return config;
  return withChanges(config, { text: { padId: tokenizer.padId } });
}
