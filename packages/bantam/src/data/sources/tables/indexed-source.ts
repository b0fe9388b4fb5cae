import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { hashText } from '../../../base/hash.js';
import type { ImageLocation } from '../../images/location.js';
import { describeNote, NoteBook, type SourceNote } from '../notes.js';
import { RowIndex, type RowLocation } from './row-index.js';
import { PhotoSource } from '../photo-source.js';
import type { DataRecord, LabelSet, OpenProgress, Source } from '../source.js';

/** Contents of a row. */
export interface TableRow {
  /** Path of the image as the table has it; its unique name if it has a location. */
  readonly image: string;
  /** Location of an image that is no file of its own. */
  readonly location?: ImageLocation;
  readonly captions: readonly string[];
  readonly label?: string;
  readonly meta: Readonly<Record<string, string>>;
}

/** A row that was read while scanning a table. */
export interface ScannedRow extends RowLocation {
  /** Number of the line on which it starts. */
  readonly line: number;
  /** Name of its position in notes; its line by default. */
  readonly where?: string;
  readonly row: TableRow;
}

/** A table of which rows can be read again at any time. */
export interface RowTable {
  /** Bytes of the file, for progress. */
  readonly size: number;
  /** All rows that can be used; the others are counted in the notes. */
  scan(notes: NoteBook): Iterable<ScannedRow>;
  /** Reads a row again. */
  row(location: RowLocation): TableRow;
}

/** Prompts for the labels of tables. */
const tableTemplates = ['{}', 'a photo of a {}.'];

export interface OpenRowsOptions {
  readonly spec: string;
  /** The table's file, for messages. */
  readonly path: string;
  /** Folder that image paths are relative to. */
  readonly folder: string;
  /** Notes of what came before. */
  readonly notes?: NoteBook;
  readonly onOpen?: OpenProgress | undefined;
}

/**
 * Opens the rows of a table as a source. Rows with the same image are one record. Only the locations
 * of rows are kept in memory; texts are read again when they are wanted.
 *
 * @throws BantamError if no row is left, saying why.
 */
export async function openRows(
  table: RowTable,
  { spec, path, folder, notes = new NoteBook(), onOpen }: OpenRowsOptions,
): Promise<Source> {
  const paths = new ImagePaths(folder);
  const keyOf = (record: number): string => {
    const [first] = index.rows(record);
    return first === undefined ? '' : nameOf(table.row(first), paths);
  };
  const index = new RowIndex(keyOf);
  const classes = new Map<string, number>();
  let scanned = 0;
  let hasAddresses = false;
  for (const { offset, length, line, where = `line ${line}`, row } of table.scan(notes)) {
    if (++scanned % 20_000 === 0) {
      onOpen?.({ what: path, done: offset, total: table.size });
      // Scanning blocks: signals and progress get their turn.
      await setImmediate();
    }
    if (row.location === undefined && isWebAddress(row.image)) {
      notes.leftOut('row', 'with a web address in place of a file', where);
      if (!hasAddresses) {
        notes.info(
          'Images at web addresses must be downloaded first, for example by img2dataset, which writes shards for wds:.',
        );
      }
      hasAddresses = true;
      continue;
    }
    const key = row.location === undefined ? paths.keyOf(row.image, notes) : row.image;
    const label = row.label === undefined ? -1 : idOf(row.label, classes);
    const others = hashText(JSON.stringify(row.meta));
    const known = index.find(key);
    if (known === undefined) {
      index.addRecord(key, { offset, length });
      index.labels.push(label);
      index.others.push(others);
      continue;
    }
    index.addTo(known, { offset, length });
    const before = index.labels.get(known);
    if (before < 0) index.labels.set(known, label);
    else if (label >= 0 && label !== before) {
      notes.changed(
        'row',
        'with another label than an earlier row of its image: the first label counts',
        where,
      );
    }
    if (index.others.get(known) !== others) {
      notes.changed(
        'row',
        'with other values than an earlier row of its image, beside the caption: the first count',
        where,
      );
    }
  }
  index.finish();
  if (index.size === 0) {
    const why = notes.notes.map((note) => ` ${describeNote(note)}`);
    throw new BantamError(`The data set "${spec}" is empty.${why.join('')}`);
  }
  return new IndexedSource(spec, { table, index, paths, notes: notes.notes, classes });
}

function idOf(label: string, classes: Map<string, number>): number {
  const id = classes.get(label) ?? classes.size;
  classes.set(label, id);
  return id;
}

/** The key of a row's image. */
function nameOf({ image, location }: TableRow, paths: ImagePaths): string {
  return location === undefined ? paths.keyOf(image) : image;
}

function isWebAddress(path: string): boolean {
  return /^(https?|ftp|s3|gs|hf|data):(\/\/|image\/)/i.test(path);
}

/** The path of a `file://` address, relative if people wrote no third slash; undefined for other paths. */
function fileOf(path: string): string | undefined {
  if (!path.startsWith('file://')) return undefined;
  try {
    return fileURLToPath(path);
  } catch {
    // Its first part is no host of this machine, or it has encoded slashes.
    return path.slice('file://'.length);
  }
}

/** The paths of images as tables write them. */
class ImagePaths {
  readonly folder: string;
  /** Backslashes separate folders, as in tables from Windows; undefined until a path has one. */
  #backslashes: boolean | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** A path with slashes. The first path with backslashes that names no file decides for all. */
  keyOf(path: string, notes?: NoteBook): string {
    if (!path.includes('\\') || process.platform === 'win32') return path;
    this.#backslashes ??= !existsSync(resolve(this.folder, path));
    if (!this.#backslashes) return path;
    notes?.changed('image path', 'with backslashes: read as folders');
    return path.replaceAll('\\', '/');
  }

  locate(path: string): string {
    return resolve(this.folder, fileOf(path) ?? this.keyOf(path));
  }
}

interface IndexedParts {
  readonly table: RowTable;
  readonly index: RowIndex;
  readonly paths: ImagePaths;
  readonly notes: readonly SourceNote[];
  /** Classes in the order in which they came. */
  readonly classes: ReadonlyMap<string, number>;
}

class IndexedSource extends PhotoSource {
  readonly notes: readonly SourceNote[];
  readonly size: number;
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly #parts: IndexedParts;

  constructor(spec: string, parts: IndexedParts) {
    super(spec);
    this.#parts = parts;
    this.notes = parts.notes;
    this.size = parts.index.size;
    const classes = [...parts.classes.keys()].sort();
    const ids = new Map(classes.map((name, id) => [name, id]));
    const sorted = Int32Array.from(parts.classes.keys(), (name) => ids.get(name) ?? -1);
    const labels = parts.index.labels.toArray();
    for (const [record, label] of labels.entries()) {
      if (label >= 0) labels[record] = at(sorted, label);
    }
    this.labelSets =
      classes.length === 0 ? {} : { label: { classes, templates: tableTemplates, labels } };
  }

  record(index: number): DataRecord {
    const rows = this.#rows(index);
    const first = at(rows, 0);
    const labelSet = this.labelSets.label;
    const label = labelSet && at(labelSet.labels, index);
    return {
      key: nameOf(first, this.#parts.paths),
      captions: rows.flatMap(({ captions }) => captions),
      ...(labelSet !== undefined &&
        label !== undefined &&
        label >= 0 && { label: at(labelSet.classes, label) }),
      meta: first.meta,
    };
  }

  location(index: number): ImageLocation {
    const [first] = this.#parts.index.rows(this.#check(index));
    if (first === undefined) throw this.missing(index);
    const { image, location } = this.#parts.table.row(first);
    return location ?? { path: this.#parts.paths.locate(image) };
  }

  #rows(index: number): TableRow[] {
    const { index: rows, table } = this.#parts;
    return Array.from(rows.rows(this.#check(index)), (row) => table.row(row));
  }

  #check(index: number): number {
    if (Number.isInteger(index) && index >= 0 && index < this.size) return index;
    throw this.missing(index);
  }
}
