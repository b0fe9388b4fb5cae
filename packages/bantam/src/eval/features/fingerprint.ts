import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { fileDigest } from '../../base/hash.js';
import type { Source } from '../../data/index.js';
import { locateModel } from '../../models/index.js';

/** Files of a model directory that decide its features. */
const modelFiles =
  /\.(safetensors|bin|pt|pth|ckpt|gz|model)$|^(open_clip_config|adapter_config|config|preprocessor_config|bantam|tokenizer|tokenizer_config|vocab|merges|special_tokens_map|added_tokens|.*\.index)\.(json|txt)$/;

/**
 * SHA-256 over the files that decide a model's features, by name and content, and over the name of its
 * architecture where one is given.
 *
 * @param name A model, as `locateModel` takes it.
 * @throws BantamError if the files are gone.
 */
export async function hashModelFiles(name: string): Promise<string> {
  const { directory, weights, architecture } = await locateModel(name);
  const inFolder =
    directory === null
      ? []
      : (await readdir(directory))
          .filter((file) => modelFiles.test(file))
          .sort()
          .map((file) => join(directory, file));
  const files = [...new Set([...inFolder, ...(weights === null ? [] : [weights])])];
  if (files.length === 0) throw new BantamError(`${name} holds no files of a model.`);
  const digest = createHash('sha256');
  for (const path of files) digest.update(`${basename(path)} ${await fileDigest(path)}\n`);
  digest.update(JSON.stringify(architecture));
  return digest.digest('hex');
}

/**
 * SHA-256 of a source's records: keys, captions, and the files of the images with their sizes and
 * times of change. Labels are left out: features do not depend on them.
 */
export async function hashSource(source: Source): Promise<string> {
  const digest = createHash('sha256');
  const files = new Map<string, string>();
  for (let index = 0; index < source.size; index++) {
    const { key, captions } = source.record(index);
    const { path, range, page } = source.location(index);
    let state = files.get(path);
    if (state === undefined) {
      state = await stat(path).then(
        ({ size, mtimeMs }) => `${size} ${mtimeMs}`,
        () => 'missing',
      );
      files.set(path, state);
    }
    digest.update(JSON.stringify([key, captions, path, range, page, state]));
  }
  return digest.digest('hex');
}

/** SHA-256 of the classes, labels and metadata of a source: what scores depend on besides features. */
export function hashLabels(source: Source): string {
  const { size, labelSets } = source;
  const digest = createHash('sha256');
  for (const [name, { classes, templates, labels, several }] of Object.entries(labelSets)) {
    digest.update(JSON.stringify([name, classes, templates]));
    digest.update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
    if (several !== undefined) digest.update(JSON.stringify(several.map((ids) => [...ids])));
  }
  for (let index = 0; index < size; index++)
    digest.update(JSON.stringify(source.record(index).meta));
  return digest.digest('hex');
}
