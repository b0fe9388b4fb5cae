import { at } from '../base/at.js';
import { hashText } from '../base/hash.js';

/**
 * Rows of keys, by open addressing: 8 to 16 bytes for each key, however long it is. Equal hashes are told
 * apart by the keys themselves, which the owner reads from the disk.
 */
export class KeyTable {
  readonly #keyOf: (row: number) => string;
  /** A row plus one, 0 while empty, −1 where one was removed; and its hash. */
  #rows = new Int32Array(2048);
  #hashes = new Int32Array(2048);
  /** Slots that are not empty. */
  #used = 0;

  constructor(keyOf: (row: number) => string) {
    this.#keyOf = keyOf;
  }

  /** The row of a key; undefined if there is none. */
  find(key: string): number | undefined {
    const slot = this.#slotOf(key);
    return slot === undefined ? undefined : at(this.#rows, slot) - 1;
  }

  /** Adds a key that is not there. */
  add(key: string, row: number): void {
    if (2 * (this.#used + 1) > this.#rows.length) this.#grow();
    this.#insert(hashText(key), row);
  }

  delete(key: string): void {
    const slot = this.#slotOf(key);
    if (slot !== undefined) this.#rows[slot] = -1;
  }

  #slotOf(key: string): number | undefined {
    const hash = hashText(key);
    for (let slot = this.#first(hash); ; slot = this.#next(slot)) {
      const entry = at(this.#rows, slot);
      if (entry === 0) return undefined;
      if (entry > 0 && at(this.#hashes, slot) === hash && this.#keyOf(entry - 1) === key)
        return slot;
    }
  }

  #insert(hash: number, row: number): void {
    let slot = this.#first(hash);
    while (at(this.#rows, slot) !== 0) slot = this.#next(slot);
    this.#rows[slot] = row + 1;
    this.#hashes[slot] = hash;
    this.#used++;
  }

  #grow(): void {
    const [rows, hashes] = [this.#rows, this.#hashes];
    this.#rows = new Int32Array(2 * rows.length);
    this.#hashes = new Int32Array(2 * rows.length);
    this.#used = 0;
    for (const [slot, entry] of rows.entries()) {
      if (entry > 0) this.#insert(at(hashes, slot), entry - 1);
    }
  }

  #first(hash: number): number {
    return hash & (this.#rows.length - 1);
  }

  #next(slot: number): number {
    return (slot + 1) & (this.#rows.length - 1);
  }
}
