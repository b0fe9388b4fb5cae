import { at } from '../../../base/at.js';
import { hashText } from '../../../base/hash.js';

/** A typed array that grows. */
class Growing<T extends Float64Array | Int32Array> {
  #values: T;
  readonly #create: (length: number) => T;
  length = 0;

  constructor(create: (length: number) => T) {
    this.#create = create;
    this.#values = create(1024);
  }

  get(index: number): number {
    return at(this.#values, index);
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = this.#create(this.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  toArray(): T {
    return this.#values.slice(0, this.length) as T;
  }
}

const integers = (): Growing<Int32Array> => new Growing((length) => new Int32Array(length));

/** Location of a row's bytes in its file. */
export interface RowLocation {
  readonly offset: number;
  readonly length: number;
}

/**
 * Index of a table's rows, grouped to records by their image: about 45 bytes for each row and record,
 * whatever the rows hold. Keys are found again by a hash and then compared in the table itself.
 */
export class RowIndex {
  readonly #offsets = new Growing((length) => new Float64Array(length));
  readonly #lengths = integers();
  /** The next row of the same record, −1 at the last. */
  readonly #nextRows = integers();
  readonly #firstRows = integers();
  readonly #lastRows = integers();
  readonly #hashes = integers();
  readonly labels = integers();
  /** Hash of the other columns of a record's first row. */
  readonly others = integers();
  readonly #keyOf: (record: number) => string;
  /** Open addressing: a record plus one, 0 while empty. */
  #table = new Int32Array(2048);
  /** Records that were found last: rows of one image mostly follow each other. */
  readonly #recent = new Map<string, number>();

  constructor(keyOf: (record: number) => string) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#firstRows.length;
  }

  /** The record with a key, or undefined. */
  find(key: string): number | undefined {
    const recent = this.#recent.get(key);
    if (recent !== undefined) return recent;
    const hash = hashText(key);
    for (let slot = this.#slot(hash); ; slot = (slot + 1) & (this.#table.length - 1)) {
      const record = at(this.#table, slot) - 1;
      if (record < 0) return undefined;
      if (this.#hashes.get(record) === hash && this.#keyOf(record) === key) {
        this.#remember(key, record);
        return record;
      }
    }
  }

  /** Adds a record with its first row. The key must be new. */
  addRecord(key: string, row: RowLocation): number {
    const record = this.size;
    const hash = hashText(key);
    this.#firstRows.push(this.#addRow(row));
    this.#lastRows.push(this.#offsets.length - 1);
    this.#hashes.push(hash);
    if (2 * this.size > this.#table.length) this.#rehash();
    else this.#insert(record, hash);
    this.#remember(key, record);
    return record;
  }

  /** Adds a further row to a record. */
  addTo(record: number, row: RowLocation): void {
    const added = this.#addRow(row);
    this.#nextRows.set(this.#lastRows.get(record), added);
    this.#lastRows.set(record, added);
  }

  /** The rows of a record, in order. */
  *rows(record: number): Generator<RowLocation, void, undefined> {
    for (let row = this.#firstRows.get(record); row >= 0; row = this.#nextRows.get(row)) {
      yield { offset: this.#offsets.get(row), length: this.#lengths.get(row) };
    }
  }

  /** Frees the memory that only {@link find} needs. */
  finish(): void {
    this.#table = new Int32Array(0);
    this.#recent.clear();
  }

  #addRow({ offset, length }: RowLocation): number {
    this.#offsets.push(offset);
    this.#lengths.push(length);
    this.#nextRows.push(-1);
    return this.#offsets.length - 1;
  }

  #slot(hash: number): number {
    return (hash >>> 0) & (this.#table.length - 1);
  }

  #insert(record: number, hash: number): void {
    let slot = this.#slot(hash);
    while (at(this.#table, slot) !== 0) slot = (slot + 1) & (this.#table.length - 1);
    this.#table[slot] = record + 1;
  }

  #rehash(): void {
    this.#table = new Int32Array(this.#table.length * 2);
    for (let record = 0; record < this.size; record++) {
      this.#insert(record, this.#hashes.get(record));
    }
  }

  #remember(key: string, record: number): void {
    if (this.#recent.size >= 256) this.#recent.clear();
    this.#recent.set(key, record);
  }
}
