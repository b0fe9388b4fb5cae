import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { saveSafetensors } from '@bantam/torch';
import { BantamError } from '../errors.js';
import { readJson } from '../json-file.js';
import type { Tokenizer } from '../text/index.js';
import { createModel, type Clip } from './clip.js';
import type { ModelConfig } from './config.js';
import { isObject } from './fields.js';
import { isFolder, writeFolder, writeJson } from './files.js';
import { fromOpenClip, toOpenClip } from './formats/open-clip.js';
import { fromOpenClipPreprocess, toOpenClipPreprocess, type Preprocess } from './preprocess.js';
import { findTokenizer, saveTokenizer, tokenizerFiles } from './tokenizer-files.js';
import { loadWeights } from './weights.js';

const CONFIG = 'open_clip_config.json';
const WEIGHTS = 'open_clip_model.safetensors';
const INFO = 'bantam.json';

/** A model with all that is needed to use it. */
export interface LoadedModel {
  readonly config: ModelConfig;
  /** In evaluation mode. */
  readonly model: Clip;
  /** Reading it throws a {@link BantamError} where the directory has no tokenizer that can be read. */
  readonly tokenizer: Tokenizer;
  readonly preprocess: Preprocess;
  /** `bantam.json`: what OpenCLIP has no place for, such as how the model was trained. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** Options of {@link saveModel}. */
export interface SaveModelOptions {
  config: ModelConfig;
  model: Clip;
  /** Left out where texts will never be encoded. */
  tokenizer?: Tokenizer;
  preprocess: Preprocess;
  /** Anything JSON can hold. Default: nothing. */
  info?: Readonly<Record<string, unknown>>;
}

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /** OpenAI's vocabulary (`bpe_simple_vocab_16e6.txt.gz`), for directories without a tokenizer. */
  merges?: string;
}

/**
 * Writes a model directory that OpenCLIP loads as it is (`local-dir:`): configuration, weights,
 * tokenizer, and `bantam.json`. The directory appears whole or not at all; an earlier model
 * directory of that name is replaced.
 *
 * @throws BantamError when the folder holds other files or cannot be written.
 */
export async function saveModel(directory: string, options: SaveModelOptions): Promise<void> {
  const { config, model, tokenizer, preprocess, info = {} } = options;
  const own = [CONFIG, WEIGHTS, INFO, ...tokenizerFiles];
  await writeFolder(
    directory,
    (file) => own.includes(file),
    async (draft) => {
      const text =
        tokenizer === undefined ? config.text : await saveTokenizer(draft, tokenizer, config.text);
      await writeJson(join(draft, CONFIG), {
        model_cfg: toOpenClip({ ...config, text }),
        preprocess_cfg: toOpenClipPreprocess(preprocess),
      });
      await writeJson(join(draft, INFO), info);
      saveSafetensors(join(draft, WEIGHTS), model.stateDict(), { metadata: { format: 'pt' } });
    },
  );
}

/**
 * Reads a model directory of Bantam or OpenCLIP; the weights come as float32.
 *
 * @throws BantamError when the folder or a file is missing or damaged, the configuration asks for
 * what Bantam does not have, or weights and configuration are of different models.
 */
export async function loadModel(
  directory: string,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  if (!(await isFolder(directory))) {
    throw new BantamError(
      `There is no folder ${directory}; name a model directory, which holds ${CONFIG} and ${WEIGHTS}.`,
    );
  }
  const { config, preprocess } = await readConfig(directory);
  const weights = await findWeights(directory);
  const info = await readJson(join(directory, INFO), 'model');
  const tokenizer = await findTokenizer(directory, config.text, options);
  const model = createModel(config, { generator: null });
  try {
    loadWeights(model, weights);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return {
    config,
    model: model.eval(),
    get tokenizer() {
      return tokenizer();
    },
    preprocess,
    info: isObject(info) ? info : {},
  };
}

async function readConfig(
  directory: string,
): Promise<{ config: ModelConfig; preprocess: Preprocess }> {
  const file = join(directory, CONFIG);
  const document = await readJson(file, 'model');
  if (document === undefined) {
    throw new BantamError(`${directory} has no ${CONFIG}; name a model directory.`);
  }
  const { model_cfg, preprocess_cfg } = isObject(document) ? document : {};
  try {
    const config = fromOpenClip(model_cfg);
    const { imageSize } = config.vision;
    // As in OpenCLIP, the model's own size counts.
    return {
      config,
      preprocess: { ...fromOpenClipPreprocess(preprocess_cfg, imageSize), size: imageSize },
    };
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    throw new BantamError(`${file}: ${error.message}`);
  }
}

/** The weights file by OpenCLIP's name, else the only safetensors file of the folder. */
async function findWeights(directory: string): Promise<string> {
  const files = await readdir(directory);
  const candidates = files.filter((file) => file.endsWith('.safetensors'));
  const [only, another] = candidates;
  if (candidates.includes(WEIGHTS)) return join(directory, WEIGHTS);
  if (only !== undefined && another === undefined) return join(directory, only);
  const pickled = files.find((file) => /\.(bin|pt|pth)$/.test(file));
  throw new BantamError(
    another === undefined && pickled !== undefined
      ? `${directory} has its weights only as a Python pickle (${pickled}); save them as ${WEIGHTS} with the Python package safetensors.`
      : `${directory} has no ${WEIGHTS}; name a complete model directory.`,
  );
}
