import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { BantamError } from '../base/errors.js';
import { makeFolder } from '../base/make-folder.js';
import { FolderLock } from '../base/folder-lock.js';
import { KeyTable } from './key-table.js';
import {
  dataFiles,
  holdsCollection,
  newManifest,
  readManifest,
  writeManifest,
  type Manifest,
} from './manifest.js';
import { RecordLog, recordLine, removalLine, type IndexRecord } from './record-log.js';
import { unitVector } from './vectors.js';

/** A vector to be added, with what is known of it. */
export interface NewRow {
  readonly record: IndexRecord;
  readonly image: Float32Array;
  /** Vector of the record's caption; in all rows of a collection or in none. */
  readonly caption?: Float32Array;
}

/** Changes that wait for the next commit. */
interface Pending {
  readonly images: Float32Array[];
  readonly captions: Float32Array[];
  readonly lines: Uint8Array[];
  readonly keys: Map<string, number>;
  readonly removed: Set<number>;
}

/**
 * A collection of vectors in a folder, open for writing. Rows are only ever appended, and
 * a removal is a line in the log, so that a commit writes what is new: first the data, synced to the disk,
 * then the manifest, in one step. Whatever a killed process had written beyond the last commit does not
 * count and is written over.
 */
export class Collection {
  readonly folder: string;
  readonly #lock: FolderLock;
  #manifest: Manifest;
  #files: DataFiles;
  #log: RecordLog;
  #keys: KeyTable;
  #pending = newPending();

  private constructor(folder: string, lock: FolderLock, manifest: Manifest) {
    this.folder = folder;
    this.#lock = lock;
    this.#manifest = manifest;
    this.#files = new DataFiles(folder, manifest);
    this.#log = openLog(folder, manifest);
    this.#keys = keysOf(this.#log);
  }

  /**
   * Opens a collection for writing, and makes it if the folder has none.
   *
   * @throws BantamError if another process writes to it, it is damaged, or its vectors have another width.
   */
  static async open(folder: string, { width }: { width: number }): Promise<Collection> {
    makeFolder(folder);
    const lock = new FolderLock(folder);
    try {
      const exists = holdsCollection(folder);
      const manifest = exists ? await readManifest(folder) : newManifest(width);
      if (manifest.width !== width) {
        throw new BantamError(
          `The vectors of ${folder} have ${manifest.width} dimensions and the new ones ${width}; use the model that made it, or another folder.`,
        );
      }
      return new Collection(folder, lock, manifest);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** The last commit. */
  get manifest(): Manifest {
    return this.#manifest;
  }

  /** Rows that a search finds, those to be committed included. */
  get size(): number {
    const { images, removed } = this.#pending;
    return this.#log.rows - this.#log.removed + images.length - removed.size;
  }

  /** The committed rows that were removed. */
  get removed(): number {
    return this.#log.removed;
  }

  /** Row of a key; undefined if there is none. */
  find(key: string): number | undefined {
    const row = this.#pending.keys.get(key) ?? this.#keys.find(key);
    return row === undefined || this.#pending.removed.has(row) ? undefined : row;
  }

  /** The record of a committed row. */
  record(row: number): IndexRecord {
    return this.#log.record(row);
  }

  /** The vectors of a committed row. */
  vectors(row: number): { readonly image: Float32Array; readonly caption?: Float32Array } {
    const { width, hasCaptions } = this.#manifest;
    const image = this.#files.images.readRow(row, width);
    return { image, ...(hasCaptions && { caption: this.#files.captions.readRow(row, width) }) };
  }

  /** Keys of the rows that are left, in order. */
  *live(): Generator<number, void, undefined> {
    for (const row of this.#log.live()) if (!this.#pending.removed.has(row)) yield row;
  }

  /**
   * Adds a row; it counts from the next commit on. A row of the same key is replaced.
   *
   * @throws BantamError for a vector of another width, one that is not finite, or zero.
   */
  add({ record, image, caption }: NewRow): void {
    const { width, hasCaptions, rows } = this.#manifest;
    const { images, captions, lines, keys } = this.#pending;
    const isFirst = rows + images.length === 0;
    if (!isFirst && (caption !== undefined) !== (hasCaptions || captions.length > 0)) {
      throw new BantamError(
        `"${record.key}" comes ${caption === undefined ? 'without' : 'with'} the vector of a caption, unlike the rows of ${this.folder}; build it anew.`,
      );
    }
    const vector = unitVector(image, width, `"${record.key}"`);
    const before = this.find(record.key);
    if (before !== undefined) this.remove(before);
    keys.set(record.key, rows + images.length);
    images.push(vector);
    // A row without a caption has zeros, which no search compares with anything.
    if (caption !== undefined) captions.push(caption);
    lines.push(recordLine(record));
  }

  /** Removes a row; it counts from the next commit on. */
  remove(row: number): void {
    this.#pending.removed.add(row);
  }

  /** Makes all changes since the last commit count, together with changes of the manifest. */
  commit(changes: Partial<Manifest> = {}): void {
    const { images, captions, lines, keys, removed } = this.#pending;
    const { rows, width, recordBytes } = this.#manifest;
    this.#files.images.write(images, rows * width * 4);
    if (captions.length > 0) this.#files.captions.write(captions, rows * width * 4);
    if (removed.size > 0) lines.push(removalLine([...removed].sort((a, b) => a - b)));
    this.#files.records.write(lines, recordBytes);
    const goneKeys = [...removed].map((row) =>
      row < rows ? this.#log.record(row).key : undefined,
    );
    const manifest: Manifest = {
      ...this.#manifest,
      ...changes,
      rows: rows + images.length,
      recordBytes: recordBytes + lines.reduce((sum, { length }) => sum + length, 0),
      hasCaptions: this.#manifest.hasCaptions || captions.length > 0,
    };
    writeManifest(this.folder, manifest);
    this.#manifest = manifest;
    for (const line of lines) this.#log.added(line);
    for (const key of goneKeys) if (key !== undefined) this.#keys.delete(key);
    for (const [key, row] of keys) if (!removed.has(row)) this.#keys.add(key, row);
    this.#pending = newPending();
  }

  /**
   * Writes the rows that are left to new files, which then replace the old ones in one step. The graph
   * has to be built anew.
   */
  compact(): void {
    this.commit();
    const { graph, ...before } = this.#manifest;
    const manifest: Manifest = { ...before, generation: before.generation + 1 };
    const next = new DataFiles(this.folder, manifest);
    let [rows, recordBytes] = [0, 0];
    const chunk = newPending();
    const flush = (): void => {
      next.images.write(chunk.images, rows * manifest.width * 4);
      next.captions.write(chunk.captions, rows * manifest.width * 4);
      next.records.write(chunk.lines, recordBytes);
      rows += chunk.images.length;
      recordBytes += chunk.lines.reduce((sum, { length }) => sum + length, 0);
      for (const list of [chunk.images, chunk.captions, chunk.lines]) list.length = 0;
    };
    for (const [row, record] of this.#log.records()) {
      const { image, caption } = this.vectors(row);
      chunk.images.push(image);
      if (caption !== undefined) chunk.captions.push(caption);
      chunk.lines.push(recordLine(record));
      if (chunk.images.length === 4096) flush();
    }
    flush();
    const compacted = { ...manifest, rows, recordBytes };
    writeManifest(this.folder, compacted);
    this.#closeFiles();
    for (const path of Object.values(dataFiles(this.folder, before))) rmSync(path, { force: true });
    if (graph !== undefined) rmSync(join(this.folder, graph.file), { force: true });
    this.#manifest = compacted;
    this.#files = next;
    this.#log = openLog(this.folder, compacted);
    this.#keys = keysOf(this.#log);
  }

  /** Removes the graph; searches are exact then. */
  dropGraph(): void {
    const { graph, ...manifest } = this.#manifest;
    if (graph === undefined) return;
    writeManifest(this.folder, manifest);
    this.#manifest = manifest;
    rmSync(join(this.folder, graph.file), { force: true });
  }

  /** Closes the files; changes since the last commit are dropped. */
  close(): void {
    this.#closeFiles();
    this.#lock.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #closeFiles(): void {
    this.#files.close();
    this.#log.close();
  }
}

function newPending(): Pending {
  return { images: [], captions: [], lines: [], keys: new Map(), removed: new Set() };
}

function openLog(folder: string, manifest: Manifest): RecordLog {
  const { records } = dataFiles(folder, manifest);
  return new RecordLog(records, { bytes: manifest.recordBytes, rows: manifest.rows });
}

function keysOf(log: RecordLog): KeyTable {
  const keys = new KeyTable((row) => log.record(row).key);
  for (const [row, { key }] of log.records()) keys.add(key, row);
  return keys;
}

/** The data files of a generation; they are made if they are missing. */
class DataFiles {
  readonly images: AppendedFile;
  readonly captions: AppendedFile;
  readonly records: AppendedFile;

  constructor(folder: string, manifest: Manifest) {
    const { images, captions, records } = dataFiles(folder, manifest);
    this.images = new AppendedFile(images);
    this.captions = new AppendedFile(captions);
    this.records = new AppendedFile(records);
  }

  close(): void {
    for (const file of [this.images, this.captions, this.records]) file.close();
  }
}

/** A file that grows at its end. */
class AppendedFile {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT);
  }

  /** Writes chunks from a position on, cuts off what follows, and waits until the disk has them. */
  write(chunks: readonly (Float32Array | Uint8Array)[], position: number): void {
    if (chunks.length === 0) return;
    const bytes = Buffer.concat(
      chunks.map(
        ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
      ),
    );
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#file, bytes, done, bytes.length - done, position + done);
    }
    ftruncateSync(this.#file, position + bytes.length);
    fsyncSync(this.#file);
  }

  /** Row of a matrix of float32. */
  readRow(row: number, width: number): Float32Array {
    const values = new Float32Array(width);
    const bytes = new Uint8Array(values.buffer);
    for (let done = 0; done < bytes.length;) {
      const position = row * bytes.length + done;
      const count = readSync(this.#file, bytes, done, bytes.length - done, position);
      if (count === 0)
        throw new BantamError(`${this.#path} ends within row ${row}; build it anew.`);
      done += count;
    }
    return values;
  }

  close(): void {
    closeSync(this.#file);
  }
}
