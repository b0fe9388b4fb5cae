import { basename, dirname } from 'node:path';
import { at } from '../../../base/at.js';
import { cacheDirectory } from '../../../base/cache-dir.js';
import { BantamError } from '../../../base/errors.js';
import type { ImageLocation } from '../../images/location.js';
import { readClassNames } from '../class-files.js';
import { NoteBook } from '../notes.js';
import type { OpenProgress, Source } from '../source.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import { expandFiles } from '../shards/shard-names.js';
import {
  openRows,
  type RowTable,
  type ScannedRow,
  type TableRow,
} from '../tables/indexed-source.js';
import { findFields, interpretObject, type JsonFields } from '../tables/json-row.js';
import type { RowLocation } from '../tables/row-index.js';
import { noteCaptions } from '../tables/table-columns.js';
import { openText, type TextBytes } from '../tables/text-bytes.js';
import { LineReader } from '../tables/text-lines.js';
import { ImagePages } from './image-pages.js';
import { ParquetFile } from './parquet-file.js';
import { openParts, openRowFile, type ParquetPart } from './row-file.js';

export interface OpenParquetOptions {
  readonly cacheDir?: string | undefined;
  readonly onOpen?: OpenProgress | undefined;
}

/**
 * Opens Parquet files with a row for each image: `parquet:train.parquet`, or several by a range, a
 * list, `*` or a folder, as {@link expandFiles} reads them. The image is a path, image bytes, or a
 * structure of `bytes` and `path` as Hugging Face's `datasets` writes it. Query, all optional: `image`,
 * `caption` and `label` name columns (see {@link openJsonl}), `images` is the folder that paths are
 * relative to, `classes` a file of class names for labels that are numbers; the names that
 * `datasets` stores with its class labels are taken from the file.
 *
 * Only the columns that are used are read. Image bytes are read page by page when they are wanted.
 */
export async function openParquet(
  spec: SourceSpec,
  options: OpenParquetOptions = {},
): Promise<Source> {
  checkQuery(spec, ['image', 'caption', 'label', 'images', 'classes']);
  const paths = await expandFiles(spec.path, { kind: spec.kind, extension: 'parquet' });
  return openParquetFiles(spec, paths, options);
}

/** {@link openParquet} of files that are known. */
export async function openParquetFiles(
  spec: SourceSpec,
  paths: readonly string[],
  { cacheDir = cacheDirectory(), onOpen }: OpenParquetOptions = {},
): Promise<Source> {
  const { query, text } = spec;
  const notes = new NoteBook();
  const files = paths.map((path) => new ParquetFile(path));
  const parts = openParts(files, query.get('image'));
  const first = at(parts, 0);
  for (const { file } of parts) checkColumns(file, first);
  for (const name of first.columns.skipped) notes.info(`The column "${name}" holds bytes: unused.`);
  const rowFile = await openRowFile(parts, { cacheDir, onOpen });
  const bytes = openText(rowFile, 'utf-8', spec.kind);
  const classFile = query.get('classes');
  const classes = classFile === undefined ? undefined : await readClassNames(classFile, notes);
  const table = new ParquetTable(parts, bytes, rowFile);
  table.fields = fieldsOf(spec, table, { first, classes });
  const folder = query.get('images') ?? dirname(at(files, 0).path);
  return openRows(table, { spec: text, path: spec.path, folder, notes, onOpen });
}

function fieldsOf(
  { query, path }: SourceSpec,
  table: ParquetTable,
  {
    first: {
      columns: { embedded, classes: stored },
    },
    classes,
  }: { first: ParquetPart; classes: readonly string[] | undefined },
): JsonFields {
  const examples = table.examples(200);
  if (examples.length === 0) throw new BantamError(`The data set "${path}" has no rows.`);
  const [only] = stored.size === 1 ? stored.keys() : [undefined];
  const label = query.get('label') ?? (stored.has('label') ? 'label' : only);
  const image = embedded?.name ?? query.get('image');
  const named = { image, caption: query.get('caption'), label };
  const fields = findFields(
    // Embedded images may have no path, and so no field.
    embedded === undefined ? examples : examples.map((row) => ({ [embedded.name]: '', ...row })),
    named,
    path,
  );
  const names = classes ?? (label === undefined ? undefined : stored.get(label));
  return { ...fields, ...(names && { classes: names }) };
}

function checkColumns(file: ParquetFile, first: ParquetPart): void {
  const names = (of: ParquetFile): string[] =>
    of.schema.children.map(({ element }) => element.name);
  const own = names(file);
  const missing = names(first.file).find((name) => !own.includes(name));
  if (missing === undefined) return;
  throw new BantamError(
    `"${file.path}" has no column "${missing}", which "${first.file.path}" has; name files of one data set.`,
  );
}

class ParquetTable implements RowTable {
  readonly size: number;
  fields: JsonFields = { image: '', captions: [] };
  readonly #images: readonly (ImagePages | undefined)[];

  constructor(
    readonly parts: readonly ParquetPart[],
    readonly bytes: TextBytes,
    readonly path: string,
  ) {
    this.size = bytes.size;
    this.#images = parts.map(
      ({ file, columns: { embedded } }) => embedded && new ImagePages(file, embedded.leaf),
    );
  }

  /** The fields of the first rows. */
  examples(count: number): Readonly<Record<string, unknown>>[] {
    const found: Readonly<Record<string, unknown>>[] = [];
    for (const { line } of this.#lines()) {
      const [, , fields] = parseLine(line);
      if (found.push(fields) === count) break;
    }
    return found;
  }

  *scan(notes: NoteBook): Generator<ScannedRow, void, undefined> {
    noteCaptions(this.fields.captions.length, this.fields.label !== undefined, notes);
    for (const { offset, length, line } of this.#lines()) {
      const [part, row, fields] = parseLine(line);
      const name = basename(at(this.parts, part).file.path);
      const where = `row ${row} of ${name}`;
      const found = this.#interpret(part, row, fields);
      if ('leftOut' in found) {
        notes.leftOut('row', found.leftOut, where);
        continue;
      }
      if (found.changed !== undefined) notes.changed('row', found.changed, where);
      yield { offset, length, line: row, where, row: found.row };
    }
    for (const pages of this.#images) {
      if (pages === undefined || pages.largest < 2 ** 24) continue;
      notes.info(
        `Images lie in pages of up to ${Math.round(pages.largest / 2 ** 20)} MiB, which are decoded whole for one image: for training, write the data as shards with "bantam data pack".`,
      );
    }
  }

  row({ offset, length }: RowLocation): TableRow {
    const [part, row, fields] = parseLine(this.bytes.read(offset, length).toString('utf8'));
    const found = this.#interpret(part, row, fields);
    if ('row' in found) return found.row;
    throw new BantamError(`"${this.path}" has changed since it was opened; start again.`);
  }

  *#lines(): Generator<RowLocation & { line: string }, void, undefined> {
    const reader = new LineReader(this.bytes, this.path);
    // The header.
    reader.next();
    for (let line = reader.next(); line !== undefined; line = reader.next()) {
      const { offset, length } = line;
      yield { offset, length, line: reader.slice(offset, length).toString('utf8') };
    }
  }

  #interpret(part: number, row: number, fields: Readonly<Record<string, unknown>>) {
    const images = this.#images[part];
    if (images === undefined) return interpretObject(fields, this.fields);
    const location: ImageLocation | undefined = images.location(row);
    if (location === undefined) return { leftOut: 'without an image' };
    const path = fields[this.fields.image];
    const name = `${basename(images.file.path)}#${row}`;
    const found = interpretObject({ ...fields, [this.fields.image]: name }, this.fields);
    if ('leftOut' in found) return found;
    const meta = typeof path === 'string' ? { path, ...found.row.meta } : found.row.meta;
    return { ...found, row: { ...found.row, meta, location } };
  }
}

function parseLine(line: string): [number, number, Readonly<Record<string, unknown>>] {
  return JSON.parse(line) as [number, number, Readonly<Record<string, unknown>>];
}
