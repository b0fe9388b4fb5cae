import { closeSync, openSync, readSync } from 'node:fs';
import { readPage, parquetHeader } from 'hyparquet/src/column.js';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { byteColumn, type PageDecoder } from './parquet-codecs.js';

/** A value in a page of a Parquet file; plain data, so that it can be sent to worker threads. */
export interface PageLocation {
  /** Compression of the file's pages, as the file's metadata name it. */
  readonly codec: string;
  /** Repetition type of each part of the column's path: `OPTIONAL` or `REQUIRED`. */
  readonly repetition: readonly string[];
  /** Row within the page. */
  readonly row: number;
  /** Byte range of the column's dictionary, if it has one. */
  readonly dictionary?: { readonly offset: number; readonly length: number };
}

/** Decoded pages are kept up to this many bytes in all: images that follow each other share one. */
const mostKept = 2 ** 26;

interface KeptPage {
  readonly values: ArrayLike<unknown> & Iterable<unknown>;
  readonly bytes: number;
}

const kept = new Map<string, KeptPage>();

/**
 * Reads one value, an image file, of a page of a Parquet file. The last pages stay decoded, so that
 * reading in order decodes each page once.
 *
 * @throws BantamError if the row has no image, and if the page cannot be decoded.
 */
export function readPageValue(
  path: string,
  range: { readonly offset: number; readonly length: number },
  page: PageLocation,
): Uint8Array {
  const name = `${path}\0${range.offset}`;
  let found = kept.get(name);
  if (found === undefined) {
    found = decodePage(path, range, page);
    let bytes = found.bytes;
    for (const { bytes: other } of kept.values()) bytes += other;
    for (const [oldest, { bytes: freed }] of kept) {
      if (bytes <= mostKept) break;
      kept.delete(oldest);
      bytes -= freed;
    }
  } else kept.delete(name);
  kept.set(name, found);
  let value = found.values[page.row];
  // Members of structures come within lists, one for each level.
  while (Array.isArray(value)) [value] = value as unknown[];
  if (value instanceof Uint8Array) return value;
  throw new BantamError(`Row ${page.row} of the page at byte ${range.offset} has no image.`);
}

function decodePage(
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number },
  page: PageLocation,
): KeptPage {
  const file = openSync(path, 'r');
  try {
    const decoder = byteColumn(page);
    const { dictionary } = page;
    const words =
      dictionary && decodeOne(read(file, dictionary, path), { decoder, path, words: undefined });
    const bytes = read(file, { offset, length }, path);
    const values = decodeOne(bytes, { decoder, path, words });
    let size = 0;
    for (const value of values) size += sizeOf(value);
    return { values, bytes: size };
  } finally {
    closeSync(file);
  }
}

type Values = NonNullable<ReturnType<typeof readPage>['data']>;

function decodeOne(
  bytes: Uint8Array,
  { decoder, path, words }: { decoder: PageDecoder; path: string; words: Values | undefined },
): Values {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 };
  try {
    return readPage(reader, parquetHeader(reader), decoder, words, undefined, 0).data ?? [];
  } catch (error) {
    const reason = causeOf(error);
    throw new BantamError(`A page of "${path}" cannot be decoded (${reason}).`);
  }
}

function read(
  file: number,
  { offset, length }: { readonly offset: number; readonly length: number },
  path: string,
): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = readSync(file, bytes, done, length - done, offset + done);
    if (count === 0) throw new BantamError(`"${path}" ends at byte ${offset + done}.`);
    done += count;
  }
  return bytes;
}

function sizeOf(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  return Array.isArray(value) ? sizeOf(value[0]) : 0;
}
