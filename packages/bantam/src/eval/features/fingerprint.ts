import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import type { Source } from '../../data/index.js';

/**
 * SHA-256 of a model directory's files and their names: what a feature depends on besides the data.
 *
 * @throws BantamError if the folder cannot be read.
 */
export async function hashModel(directory: string): Promise<string> {
  const digest = createHash('sha256');
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    throw new BantamError(
      `The model directory ${directory} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'}); name an existing one.`,
    );
  });
  const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  for (const name of files.sort()) {
    digest.update(`${name}\n`);
    for await (const bytes of createReadStream(join(directory, name))) {
      digest.update(bytes as Uint8Array);
    }
  }
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
    const { path, range } = source.location(index);
    let state = files.get(path);
    if (state === undefined) {
      state = await stat(path).then(
        ({ size, mtimeMs }) => `${size} ${mtimeMs}`,
        () => 'missing',
      );
      files.set(path, state);
    }
    digest.update(JSON.stringify([key, captions, path, range, state]));
  }
  return digest.digest('hex');
}

/** SHA-256 of the classes, labels and metadata of a source: what scores depend on besides features. */
export function hashLabels(source: Source): string {
  const { size, labelSets } = source;
  const digest = createHash('sha256');
  for (const [name, { classes, templates, labels }] of Object.entries(labelSets)) {
    digest.update(JSON.stringify([name, classes, templates]));
    digest.update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
  }
  for (let index = 0; index < size; index++)
    digest.update(JSON.stringify(source.record(index).meta));
  return digest.digest('hex');
}
