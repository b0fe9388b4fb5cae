import { at } from '../base/at.js';

/** Hashes that are kept at most, 128 MiB of them: half of the slots. */
const mostKept = 2 ** 23;

/**
 * Counts distinct texts in bounded memory: exactly up to 8 million, beyond them by adaptive sampling
 * (Flajolet 1990, "On adaptive sampling"; Wegman): of the 53-bit hashes only those are kept whose last
 * `level` bits are zero, and the level rises whenever they become too many. The standard error of the
 * estimate is 1.2 / √n for n kept hashes, at most 0.06 %.
 */
export class DistinctCounter {
  readonly #most: number;
  /** Open addressing: a hash plus one, 0 while empty. */
  #slots = new Float64Array(1024);
  #size = 0;
  #level = 0;

  /** @param most Hashes to keep at most, for tests. */
  constructor(most = mostKept) {
    this.#most = most;
  }

  /** Distinct texts so far. */
  get count(): number {
    return this.#size * 2 ** this.#level;
  }

  /** The count is not an estimate. */
  get isExact(): boolean {
    return this.#level === 0;
  }

  add(text: string): void {
    const hash = hash53(text);
    if (!this.#isKept(hash) || !this.#insert(hash)) return;
    if (this.#size > this.#most) {
      this.#level++;
      this.#rebuild(this.#slots.length);
    } else if (2 * this.#size > this.#slots.length) this.#rebuild(2 * this.#slots.length);
  }

  #isKept(hash: number): boolean {
    return hash % 2 ** this.#level === 0;
  }

  /** Adds a hash; false if it is there. */
  #insert(hash: number): boolean {
    const { length } = this.#slots;
    for (let slot = Math.floor(hash / 2 ** 20) % length; ; slot = (slot + 1) % length) {
      const found = at(this.#slots, slot);
      if (found === hash + 1) return false;
      if (found !== 0) continue;
      this.#slots[slot] = hash + 1;
      this.#size++;
      return true;
    }
  }

  #rebuild(length: number): void {
    const old = this.#slots;
    this.#slots = new Float64Array(length);
    this.#size = 0;
    for (const value of old) if (value !== 0 && this.#isKept(value - 1)) this.#insert(value - 1);
  }
}

/** A hash of 53 bits: two 32-bit multiplicative hashes, mixed as in MurmurHash3. */
function hash53(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    high = Math.imul(high ^ code, 0x85ebca6b);
    low = Math.imul(low ^ code, 0xc2b2ae35);
  }
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0);
}
