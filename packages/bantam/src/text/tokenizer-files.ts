import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BantamError } from '../base/errors.js';
import { readJson } from '../base/json-file.js';
import { makeFolder } from '../base/make-folder.js';
import { isFile, isFolder } from '../base/path-kind.js';
import { readSentencePieceModel } from './sentencepiece/read-model.js';
import { toTokenizerJson } from './sentencepiece/to-tokenizer-json.js';
import { guessWrapper, type SentencePieceWrapper } from './sentencepiece/wrappers.js';
import {
  parseTokenizerFiles,
  SENTENCEPIECE_FILE,
  wrapperOf,
  type TokenizerFiles,
} from './tokenizer-json.js';

/** Names under which model directories hold a `.model` file of SentencePiece. */
export const sentencePieceFiles = [
  SENTENCEPIECE_FILE,
  'sentencepiece.bpe.model',
  'tokenizer.model',
  'sentencepiece.model',
];

/** Errors that say that there is no such file. */
const absent: readonly unknown[] = ['ENOENT', 'ENOTDIR'];

/** A file's bytes; undefined where there is none. */
async function readBytes(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && absent.includes(error.code)) return undefined;
    throw error;
  }
}

/**
 * Reads `tokenizer.json` (a file, or the one in a directory or run), else a `.model` file of SentencePiece;
 * and, beside it, `special_tokens_map.json` and `tokenizer_config.json`, which wins where both name a
 * token.
 *
 * @param wrapper - special ids around those of a `.model` file; default: {@link guessWrapper}
 * @throws BantamError if there is no tokenizer, or something else under its name
 */
export async function readTokenizerFiles(
  path: string,
  wrapper?: SentencePieceWrapper,
): Promise<TokenizerFiles> {
  const isDirectory = await isFolder(path);
  const inRun = join(path, 'tokenizer');
  if (isDirectory && (await isFile(join(inRun, 'tokenizer.json')))) {
    const own = await isFile(join(path, 'tokenizer.json'));
    if (!own) return readTokenizerFiles(inRun, wrapper);
  }
  const directory = isDirectory ? path : dirname(path);
  const specials = await readJson(join(directory, 'special_tokens_map.json'), 'tokenizer');
  const config = await readJson(join(directory, 'tokenizer_config.json'), 'tokenizer');
  const file = isDirectory ? join(path, 'tokenizer.json') : path;
  const tokenizer = file.endsWith('.model') ? undefined : await readJson(file, 'tokenizer');
  if (tokenizer !== undefined) {
    const model = join(directory, SENTENCEPIECE_FILE);
    const sentencepiece = wrapperOf(config) === undefined ? undefined : await readBytes(model);
    if (sentencepiece === undefined && wrapperOf(config) !== undefined) {
      throw new BantamError(
        `There is no ${model}, which is the tokenizer by ${join(directory, 'tokenizer_config.json')}; copy it from where the tokenizer was saved.`,
      );
    }
    return parseTokenizerFiles({ file, tokenizer, specials, config, sentencepiece });
  }
  for (const model of isDirectory ? sentencePieceFiles.map((name) => join(path, name)) : [path]) {
    const bytes = await readBytes(model);
    if (bytes !== undefined) return fromModel(model, bytes, { specials, config, wrapper });
  }
  throw new BantamError(
    `There is no ${file}; name a tokenizer.json, a .model file of SentencePiece or a directory of either, or read OpenAI's vocabulary files with clipTokenizer.`,
  );
}

function fromModel(
  file: string,
  bytes: Uint8Array,
  beside: { specials: unknown; config: unknown; wrapper: SentencePieceWrapper | undefined },
): TokenizerFiles {
  const model = readSentencePieceModel(bytes, file);
  const given = parseTokenizerFiles({ file, tokenizer: { model: {} }, ...beside }).config;
  const wrapper =
    beside.wrapper ?? wrapperOf(given) ?? guessWrapper(basename(file), given.tokenizer_class);
  const { tokenizer, config } = toTokenizerJson(model, wrapper);
  const { model_max_length, bantam } = given;
  const clean = wrapper === 'siglip' ? 'canonicalize' : undefined;
  return {
    tokenizer,
    config: {
      ...config,
      ...(model_max_length !== undefined && { model_max_length }),
      bantam: { ...(clean !== undefined && { clean }), ...bantam, ...config.bantam },
    },
    sentencepiece: { bytes, file },
  };
}

/** Writes the files that {@link readTokenizerFiles} reads. */
export async function writeTokenizerFiles(
  directory: string,
  { tokenizer, config, sentencepiece }: TokenizerFiles,
): Promise<void> {
  makeFolder(directory);
  const isName = (value: unknown): boolean =>
    typeof value === 'string' || typeof value === 'object';
  const tokens = Object.entries(config).filter(
    ([key, value]) => key.endsWith('_token') && isName(value),
  );
  const write = (name: string, value: object): Promise<void> =>
    writeFile(join(directory, name), `${JSON.stringify(value, null, 2)}\n`);
  await write('tokenizer.json', tokenizer);
  await write('tokenizer_config.json', config);
  await write('special_tokens_map.json', Object.fromEntries(tokens));
  if (sentencepiece !== undefined) {
    await writeFile(join(directory, SENTENCEPIECE_FILE), sentencepiece.bytes);
  }
}
