import { stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BantamError } from '../base/errors.js';
import { readJson } from '../base/json-file.js';
import { makeFolder } from '../base/make-folder.js';
import { parseTokenizerFiles, type TokenizerFiles } from './tokenizer-json.js';

/**
 * Reads `tokenizer.json` (a file, or the one in a directory) and, beside it,
 * `special_tokens_map.json` and `tokenizer_config.json`, which wins where both name a token.
 *
 * @throws BantamError if there is no `tokenizer.json`, or something else under its name
 */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  const isDirectory = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const file = isDirectory ? join(path, 'tokenizer.json') : path;
  const directory = dirname(file);
  const tokenizer = await readJson(file, 'tokenizer');
  if (tokenizer === undefined) {
    throw new BantamError(
      `There is no ${file}; name a tokenizer.json or its directory, or read OpenAI's vocabulary files with clipTokenizer.`,
    );
  }
  return parseTokenizerFiles({
    file,
    tokenizer,
    specials: await readJson(join(directory, 'special_tokens_map.json'), 'tokenizer'),
    config: await readJson(join(directory, 'tokenizer_config.json'), 'tokenizer'),
  });
}

/** Writes the files that {@link readTokenizerFiles} reads. */
export async function writeTokenizerFiles(
  directory: string,
  { tokenizer, config }: TokenizerFiles,
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
}
