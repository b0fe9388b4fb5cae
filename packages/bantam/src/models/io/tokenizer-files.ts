import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import {
  clipTokenizer,
  loadTokenizer,
  sentencePieceFiles,
  type Cleaning,
  type SentencePieceWrapper,
  type Tokenizer,
} from '../../text/index.js';
import * as v from 'valibot';
import { isObject, oneOf } from '../../base/schema.js';
import type { TextConfig } from '../towers.js';

/** Files that a tokenizer's `save` writes. */
export const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'spiece.model',
];

const vocabularies = ['bpe_simple_vocab_16e6.txt.gz', 'bpe_simple_vocab_16e6.txt', 'merges.txt'];
/** Ids of CLIP's vocabulary, which models of `transformers` name "clip". */
const CLIP_VOCABULARY = 49408;
const cleanings = oneOf('whitespace', 'lower', 'canonicalize', 'none');

/**
 * Writes a tokenizer's files, and returns the text configuration by which OpenCLIP uses them: with
 * `hfTokenizerName` set it reads them from the model's own directory, whatever the name is.
 */
export async function saveTokenizer(
  directory: string,
  tokenizer: Tokenizer,
  config: TextConfig,
): Promise<TextConfig> {
  requireFit(tokenizer, config, 'The tokenizer');
  await tokenizer.save(directory);
  // OpenCLIP has OpenAI's tokenizer itself, which fills up with id 0: features may depend on that, and
  // the files can name only a special token, which 0 is not.
  if (config.hfTokenizerName === null && isOpenAis(tokenizer)) return config;
  const clean = await writtenCleaning(directory);
  // OpenCLIP cleans texts in any case, and the least is white space.
  const isDefault = clean === undefined || clean === 'whitespace' || clean === 'none';
  return {
    ...config,
    hfTokenizerName: config.hfTokenizerName ?? 'bantam',
    tokenizerKwargs: isDefault ? config.tokenizerKwargs : { ...config.tokenizerKwargs, clean },
  };
}

/** True if a tokenizer has OpenAI's vocabulary, judged by its ids of a text. */
function isOpenAis(tokenizer: Tokenizer): boolean {
  const ids = tokenizer.encode('a photo of a cat').join();
  return tokenizer.padId === 0 && ids === '49406,320,1125,539,320,2368,49407';
}

/** The cleaning that Bantam's tokenizers note in their own member of `tokenizer_config.json`. */
async function writtenCleaning(directory: string): Promise<unknown> {
  const config = await readJson(join(directory, 'tokenizer_config.json'), 'model');
  const own = isObject(config) ? config.bantam : undefined;
  return isObject(own) ? own.clean : undefined;
}

/** Options of {@link findTokenizer}. */
export interface FindTokenizerOptions {
  /** OpenAI's vocabulary, for directories without a tokenizer. */
  readonly merges?: string | undefined;
  /** Cleaning of texts; default: OpenCLIP's. */
  readonly clean?: Cleaning | undefined;
}

/**
 * The tokenizer of a model: `tokenizer.json` or a `.model` file in its directory, else OpenAI's BPE from vocabulary files there,
 * from `merges`, or as Bantam carries it. If it does not fit, or the model names another one, the
 * returned function throws: an image tower can be used without.
 *
 * @param directory - Null: weights without a directory
 */
export async function findTokenizer(
  directory: string | null,
  config: TextConfig,
  options: FindTokenizerOptions,
): Promise<() => Tokenizer> {
  try {
    const tokenizer = await readTokenizer(directory, config, options);
    const name = directory === null ? "CLIP's tokenizer" : `The tokenizer of ${directory}`;
    requireFit(tokenizer, config, name);
    return () => tokenizer;
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    return () => {
      throw error;
    };
  }
}

async function readTokenizer(
  directory: string | null,
  config: TextConfig,
  { merges, clean = cleaningOf(config) }: FindTokenizerOptions,
): Promise<Tokenizer> {
  const { contextLength, hfTokenizerName } = config;
  const files = directory === null ? [] : await readdir(directory);
  const inside = (file: string | undefined) =>
    file === undefined || directory === null ? undefined : join(directory, file);
  const own = ['tokenizer.json', ...sentencePieceFiles];
  if (directory !== null && own.some((name) => files.includes(name))) {
    const wrapper = wrapperByName(hfTokenizerName);
    return loadTokenizer(directory, {
      contextLength,
      clean,
      ...(wrapper !== undefined && { wrapper }),
    });
  }
  if (hfTokenizerName !== null && hfTokenizerName !== 'clip') {
    throw new BantamError(
      `${directory ?? 'The model'} has neither tokenizer.json nor a .model file of SentencePiece; put that of "${hfTokenizerName}" ${directory === null ? 'into a directory with the model' : 'there'} to encode texts.`,
    );
  }
  const mergesFile = merges ?? inside(vocabularies.find((name) => files.includes(name)));
  if (mergesFile === undefined && config.vocabSize < CLIP_VOCABULARY) {
    throw new BantamError(
      `${directory ?? 'The model'} has no tokenizer, and vectors for ${config.vocabSize} ids only, fewer than CLIP's ${CLIP_VOCABULARY}; put the tokenizer.json that it was trained with ${directory === null ? 'into a directory with the model' : 'there'}.`,
    );
  }
  const vocabFile =
    merges === undefined ? inside(files.find((name) => name === 'vocab.json')) : undefined;
  return clipTokenizer({
    contextLength,
    ...(mergesFile !== undefined && { mergesFile }),
    ...(vocabFile !== undefined && mergesFile !== undefined && { vocabFile }),
  });
}

/** How OpenCLIP and transformers wrap a `.model` file, by the tokenizer that a model names. */
function wrapperByName(name: string | null): SentencePieceWrapper | undefined {
  if (name === null) return undefined;
  if (/siglip2|gemma|t5/i.test(name)) return 't5';
  if (/siglip/i.test(name)) return 'siglip';
  return /xlm-roberta/i.test(name) ? 'xlm-roberta' : undefined;
}

/** How OpenCLIP cleans texts before it hands them to a Hugging Face tokenizer, or to CLIP's. */
function cleaningOf({ hfTokenizerName, tokenizerKwargs }: TextConfig): Cleaning {
  const { clean = hfTokenizerName === null ? 'lower' : 'whitespace', ...others } =
    tokenizerKwargs ?? {};
  const unknown = Object.keys(others).filter((key) => Boolean(others[key]));
  if (unknown.length > 0 || !v.is(cleanings, clean)) {
    const option = unknown[0] ?? `clean ${JSON.stringify(clean)}`;
    throw new BantamError(
      `The model's tokenizer has the option ${option} of OpenCLIP, which Bantam does not have; encode texts with OpenCLIP.`,
    );
  }
  return clean;
}

function requireFit(
  { vocabSize, contextLength }: Tokenizer,
  config: TextConfig,
  name: string,
): void {
  if (vocabSize > config.vocabSize) {
    throw new BantamError(
      `${name} has ${vocabSize} ids, but the model has vectors for ${config.vocabSize} only; use the tokenizer that the model was trained with.`,
    );
  }
  if (contextLength > config.contextLength) {
    throw new BantamError(
      `${name} cuts texts at ${contextLength} ids, but the model's context is ${config.contextLength}; use the tokenizer that the model was trained with.`,
    );
  }
}
