import { closeSync, openSync, readSync } from 'node:fs';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';

/** Facts about one vector, kept beside it. */
export interface IndexRecord {
  /** Unique within the collection. */
  readonly key: string;
  /** State of the image's bytes when it was embedded; see {@link imageStamp}. */
  readonly stamp?: string;
  /** First caption of the image. */
  readonly caption?: string;
  readonly label?: string;
  /** Further columns of the source, such as those of a table. */
  readonly meta?: Readonly<Record<string, string>>;
}

/** A line of the log that takes rows out. */
interface Removal {
  readonly remove: readonly number[];
}

const chunkBytes = 2 ** 20;
const removalStart = Buffer.from('{"remove":');
const newline = 10;

/**
 * The log of a collection's records, one line of JSON each: the record of the next row, or a list of
 * rows that are removed. In memory are only the position of each line and which rows are left.
 */
export class RecordLog {
  readonly #path: string;
  readonly #file: number;
  #starts = new Float64Array(1024);
  #isRemoved = new Uint8Array(1024);
  #rows = 0;
  #removed = 0;
  #bytes = 0;

  /** Opens the first `bytes` bytes of a log. @throws BantamError if it is shorter or damaged. */
  constructor(path: string, { bytes, rows }: { bytes: number; rows: number }) {
    this.#path = path;
    this.#file = openSync(path, 'r');
    try {
      this.#scan(bytes);
      if (this.#rows !== rows)
        throw this.#damaged(`it has ${this.#rows} records for ${rows} vectors`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Rows, removed ones included. */
  get rows(): number {
    return this.#rows;
  }

  get removed(): number {
    return this.#removed;
  }

  /** Bytes of the log. */
  get bytes(): number {
    return this.#bytes;
  }

  isRemoved(row: number): boolean {
    return at(this.#isRemoved, row) !== 0;
  }

  /** The rows that are left, in order. */
  *live(): Generator<number, void, undefined> {
    for (let row = 0; row < this.#rows; row++) if (!this.isRemoved(row)) yield row;
  }

  record(row: number): IndexRecord {
    if (!(row >= 0 && row < this.#rows)) {
      throw new RangeError(`Row ${row} was asked of ${this.#rows} records.`);
    }
    const start = at(this.#starts, row);
    // A removal may follow the line, which the parser would refuse.
    const bytes = this.#read(
      start,
      (row + 1 < this.#rows ? at(this.#starts, row + 1) : this.#bytes) - start,
    );
    return this.#parse(bytes.subarray(0, bytes.indexOf(newline))) as IndexRecord;
  }

  /** The records of all rows that are left, in order, read in a stream. */
  *records(): Generator<[row: number, record: IndexRecord], void, undefined> {
    let row = 0;
    for (const { line } of this.#lines(this.#bytes)) {
      if (isRemoval(line)) continue;
      if (!this.isRemoved(row)) yield [row, this.#parse(line) as IndexRecord];
      row++;
    }
  }

  /** Takes note of a line that was added to the file. */
  added(line: Uint8Array): void {
    if (isRemoval(line)) this.#remove((this.#parse(line) as Removal).remove);
    else this.#add(this.#bytes);
    this.#bytes += line.length;
  }

  close(): void {
    closeSync(this.#file);
  }

  #scan(bytes: number): void {
    for (const { line, start } of this.#lines(bytes)) {
      if (isRemoval(line)) this.#remove((this.#parse(line) as Removal).remove);
      else this.#add(start);
    }
    this.#bytes = bytes;
  }

  #add(start: number): void {
    if (this.#rows === this.#starts.length) {
      const [starts, isRemoved] = [this.#starts, this.#isRemoved];
      this.#starts = new Float64Array(2 * starts.length);
      this.#starts.set(starts);
      this.#isRemoved = new Uint8Array(2 * starts.length);
      this.#isRemoved.set(isRemoved);
    }
    this.#starts[this.#rows++] = start;
  }

  #remove(rows: readonly number[]): void {
    for (const row of rows) {
      if (!(row < this.#rows) || this.isRemoved(row)) throw this.#damaged(`it removes row ${row}`);
      this.#isRemoved[row] = 1;
      this.#removed++;
    }
  }

  /** The lines of the first `bytes` bytes, without their ends. */
  *#lines(bytes: number): Generator<{ line: Buffer; start: number }, void, undefined> {
    let rest = Buffer.alloc(0);
    for (let position = 0; position < bytes;) {
      const chunk = this.#read(position, Math.min(chunkBytes, bytes - position));
      const start = position - rest.length;
      const joined = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let from = 0;
      for (let end = joined.indexOf(newline); end >= 0; end = joined.indexOf(newline, from)) {
        yield { line: joined.subarray(from, end), start: start + from };
        from = end + 1;
      }
      rest = Buffer.from(joined.subarray(from));
      position += chunk.length;
    }
    if (rest.length > 0) throw this.#damaged('its last line has no end');
  }

  #read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      const count = readSync(this.#file, bytes, done, length - done, position + done);
      if (count === 0) throw this.#damaged('it is cut short');
      done += count;
    }
    return bytes;
  }

  #parse(line: Uint8Array): unknown {
    try {
      return JSON.parse(new TextDecoder().decode(line)) as unknown;
    } catch {
      throw this.#damaged('a line is not JSON');
    }
  }

  #damaged(problem: string): BantamError {
    return new BantamError(
      `${this.#path} is damaged: ${problem}; delete the index and build it anew.`,
    );
  }
}

function isRemoval(line: Uint8Array): boolean {
  return removalStart.equals(line.subarray(0, removalStart.length));
}

/** The line of a record. */
export function recordLine({ key, stamp, caption, label, meta }: IndexRecord): Uint8Array {
  const hasMeta = meta !== undefined && Object.keys(meta).length > 0;
  // The key comes first: a removal begins with another word.
  const line = { key, stamp, caption, label, ...(hasMeta && { meta }) };
  return Buffer.from(`${JSON.stringify(line)}\n`);
}

/** The line that removes rows. */
export function removalLine(remove: readonly number[]): Uint8Array {
  return Buffer.from(`${JSON.stringify({ remove } satisfies Removal)}\n`);
}
