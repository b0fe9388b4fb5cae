import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '@bantam/torch/atomic-file';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { makeFolder } from '../../base/make-folder.js';
import { anyObject, described, group, index, listOf, text } from '../../base/schema.js';

const headerSchema = group({
  bantam: v.literal('subset'),
  format: described(v.literal(1), 'Version of this file.'),
  data: described(text(), 'Specification of the data.'),
  of: described(index(), 'Records of the data.'),
  size: described(index(), 'Records of the subset.'),
  criteria: described(listOf(anyObject()), 'The criteria that chose it.'),
  scores: described(listOf(anyObject()), 'Headers of the score files that they refer to.'),
});

/** First line of a subset file: origin of its keys. */
export type SubsetHeader = Readonly<v.InferOutput<typeof headerSchema>>;

/** A subset of a source's records. */
export interface SubsetFile {
  /** Absent in plain lists of keys. */
  readonly header?: SubsetHeader;
  /** Keys, each once, in the order of the file. */
  readonly keys: ReadonlySet<string>;
}

/** Writes a subset file, whole or not at all: the header, then a key per line. */
export function writeSubset(path: string, header: SubsetHeader, keys: Iterable<string>): void {
  makeFolder(dirname(path));
  writeFileAtomic(path, chunksOf(header, keys));
}

function* chunksOf(header: SubsetHeader, keys: Iterable<string>): Generator<Uint8Array> {
  let lines = `${JSON.stringify(header)}\n`;
  for (const key of keys) {
    lines += `${quoteKey(key)}\n`;
    if (lines.length < 2 ** 20) continue;
    yield Buffer.from(lines);
    lines = '';
  }
  yield Buffer.from(lines);
}

/**
 * A key unchanged, or as a JSON string if a line could not hold it or would be read as something
 * else.
 */
function quoteKey(key: string): string {
  // eslint-disable-next-line no-control-regex -- line breaks are among them
  return key === '' || /^["{#\s]|[\0-\x1f\u2028\u2029]|\s$/.test(key) ? JSON.stringify(key) : key;
}

/**
 * Reads a subset file, or a plain text file with a key per line. Empty lines and lines that begin
 * with `#` are skipped.
 *
 * @throws BantamError when the file cannot be read, is cut off, is another file of Bantam, or holds
 * no keys.
 */
export async function readSubset(path: string): Promise<SubsetFile> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new BantamError(
      `The subset "${path}" cannot be read (${causeOf(error)}); name a file that "bantam data select" wrote, or a list of keys.`,
    );
  });
  const keys = new Set<string>();
  let header: SubsetHeader | undefined;
  let start = 0;
  for (let number = 1; start < bytes.length; number++) {
    const found = bytes.indexOf(10, start);
    const end = found < 0 ? bytes.length : found;
    const line = bytes.toString('utf8', start, end).replace(/\r$/, '');
    start = end + 1;
    if (number === 1 && line.startsWith('{')) header = readHeader(line, path);
    else if (line.trim() !== '' && !line.startsWith('#')) keys.add(readKey(line, path, number));
  }
  if (header !== undefined && keys.size !== header.size) {
    throw new BantamError(
      `The subset "${path}" holds ${keys.size} keys, but its first line says ${header.size}; select anew.`,
    );
  }
  if (keys.size === 0) {
    throw new BantamError(`The subset "${path}" holds no keys; give one key per line.`);
  }
  return { ...(header && { header }), keys };
}

function readKey(line: string, path: string, number: number): string {
  if (!line.startsWith('"')) return line;
  try {
    const key: unknown = JSON.parse(line);
    if (typeof key === 'string') return key;
  } catch {
    // Reported below.
  }
  throw new BantamError(
    `Line ${number} of "${path}" begins with a quote but is no JSON string; write the key as one.`,
  );
}

function readHeader(line: string, path: string): SubsetHeader {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Not a header, which is reported below.
  }
  const result = v.safeParse(headerSchema, value);
  if (result.success) return result.output;
  throw new BantamError(
    `"${path}" is no subset; name a file that "bantam data select" wrote, or a list of keys.`,
  );
}
