import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parquetScan } from 'hyparquet';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { makeFolder } from '../../../base/make-folder.js';
import { causeOf } from '../../../base/system-error.js';
import { compressors } from '../../images/parquet-codecs.js';
import type { OpenProgress } from '../source.js';
import { rowColumns, type RowColumns } from './columns.js';
import type { ParquetFile } from './parquet-file.js';

/** Raised whenever the form of a row file changes. */
const rowFileVersion = 1;
/** Bytes that are written at once. */
const chunkBytes = 2 ** 20;

/** A file of a data set, with what its rows hold. */
export interface ParquetPart {
  readonly file: ParquetFile;
  readonly columns: RowColumns;
}

/** Opens Parquet files and finds their columns. */
export function openParts(
  files: readonly ParquetFile[],
  image: string | undefined,
): readonly ParquetPart[] {
  return files.map((file) => ({ file, columns: rowColumns(file, image) }));
}

/**
 * The rows of Parquet files in a form that can be read at any row: a line of JSON for each,
 * `[file, row, {fields}]`, in Bantam's cache until a file's size or time changes. Images stay in the
 * Parquet files. Pages are decoded one by one, so that memory does not grow with the files; columns of
 * lists and structures row group by row group.
 *
 * @returns Path of the row file.
 */
export async function openRowFile(
  parts: readonly ParquetPart[],
  { cacheDir, onOpen }: { cacheDir: string; onOpen?: OpenProgress | undefined },
): Promise<string> {
  const header = JSON.stringify({
    version: rowFileVersion,
    files: parts.map(({ file: { path, size, modified }, columns }) => ({
      ...{ path: resolve(path), size, modified },
      columns: columns.columns.map(({ name, leaf }) => leaf?.path ?? [name]),
    })),
  });
  const folder = join(cacheDir, 'parquet');
  const name = createHash('sha1').update(header).digest('hex');
  const path = join(folder, `${name}.jsonl`);
  if (hasHeader(path, header)) return path;
  const partial = `${path}.${process.pid}`;
  try {
    makeFolder(folder);
    const output = openSync(partial, 'w');
    try {
      writeSync(output, `${header}\n`);
      await writeRows(output, parts, onOpen);
    } finally {
      closeSync(output);
    }
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    if (error instanceof BantamError) throw error;
    throw new BantamError(
      `The rows of Parquet files cannot be written to the cache "${folder}" (${causeOf(error)}); make room there, or name another folder by BANTAM_CACHE.`,
    );
  }
  return path;
}

/** A row file is whole once it has its name; its header must be that of these files. */
function hasHeader(path: string, header: string): boolean {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
  const wanted = Buffer.from(`${header}\n`);
  const found = Buffer.alloc(wanted.length);
  const file = openSync(path, 'r');
  try {
    readSync(file, found, 0, found.length, 0);
  } finally {
    closeSync(file);
  }
  return found.equals(wanted);
}

async function writeRows(
  output: number,
  parts: readonly ParquetPart[],
  onOpen: OpenProgress | undefined,
): Promise<void> {
  const total = parts.reduce((sum, { file }) => sum + file.rows, 0);
  let lines: string[] = [];
  let length = 0;
  let done = 0;
  const flush = (): void => {
    if (lines.length > 0) writeSync(output, lines.join(''));
    [lines, length] = [[], 0];
  };
  for (const [part, { file, columns }] of parts.entries()) {
    let first = 0;
    for (let group = 0; group < file.metadata.row_groups.length; group++) {
      const rows = Number(at(file.metadata.row_groups, group).num_rows);
      const cursors = await openCursors({ file, columns }, group, first);
      for (let row = 0; row < rows; row++) {
        const fields: Record<string, unknown> = {};
        for (const { name, next } of cursors) fields[name] = next();
        const line = `${JSON.stringify([part, first + row, fields], replacer)}\n`;
        lines.push(line);
        length += line.length;
        if (length < chunkBytes) continue;
        flush();
        onOpen?.({ what: file.path, done: done + row, total });
        // Decoding blocks: signals and progress get their turn.
        await setImmediate();
      }
      first += rows;
      done += rows;
    }
  }
  flush();
}

/** The values of a row group's columns, row by row. */
async function openCursors({ file, columns }: ParquetPart, group: number, first: number) {
  const rows = Number(at(file.metadata.row_groups, group).num_rows);
  const cursors: { name: string; next: () => unknown }[] = [];
  for (const { name, leaf } of columns.columns) {
    if (leaf === undefined) {
      const values = await wholeColumn(file, { name, rowStart: first, rowEnd: first + rows });
      let row = 0;
      cursors.push({ name, next: () => values[row++] });
      continue;
    }
    const pages = file.values(group, leaf);
    let page: ArrayLike<unknown> = [];
    let row = 0;
    const next = (): unknown => {
      while (row >= page.length) {
        const { value, done } = pages.next();
        if (done === true) return null;
        [page, row] = [value, 0];
      }
      let value = page[row++];
      // Members of structures come within lists, one for each level.
      while (Array.isArray(value)) [value] = value as unknown[];
      return value;
    };
    cursors.push({ name, next });
  }
  return cursors;
}

/** A column of lists or structures in a row group. */
async function wholeColumn(
  file: ParquetFile,
  { name, rowStart, rowEnd }: { name: string; rowStart: number; rowEnd: number },
): Promise<ArrayLike<unknown>> {
  try {
    const { buffer, metadata } = file;
    const scan = await parquetScan({ file: buffer, metadata, columns: [name], compressors });
    return await scan.readColumn({ column: name, rowStart, rowEnd });
  } catch (error) {
    if (error instanceof BantamError) throw error;
    const reason = causeOf(error);
    throw new BantamError(
      `The column "${name}" of "${file.path}" cannot be read (${reason}); write the file anew, or without the column.`,
    );
  }
}

/** Values that JSON does not have: whole numbers of 64 bits, and bytes, which are left out. */
function replacer(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  }
  return value instanceof Uint8Array ? undefined : value;
}
