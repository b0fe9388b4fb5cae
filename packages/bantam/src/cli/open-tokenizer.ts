import { readdir } from 'node:fs/promises';
import { isFolder } from '../base/path-kind.js';
import type { LoadTokenizerOptions, Tokenizer } from '../text/index.js';

/**
 * The tokenizer of a path: files of one, or a model that may have CLIP's vocabulary without files of it.
 *
 * @throws BantamError if there is neither.
 */
export async function openTokenizer(
  path: string,
  options: LoadTokenizerOptions = {},
): Promise<Tokenizer> {
  const { loadTokenizer, sentencePieceFiles } = await import('../text/index.js');
  const files = (await isFolder(path)) ? await readdir(path) : [];
  // Runs have theirs in a folder of that name.
  const own = ['tokenizer', 'tokenizer.json', ...sentencePieceFiles];
  const isModel = files.some((file) => modelFiles.includes(file));
  if (!isModel || own.some((file) => files.includes(file))) return loadTokenizer(path, options);
  const { loadModelTokenizer } = await import('../models/index.js');
  return loadModelTokenizer(path);
}

/** Files that a folder with a model has. */
const modelFiles: readonly string[] = [
  'open_clip_config.json',
  'config.json',
  'adapter_config.json',
];
