import { at } from '../base/at.js';
/**
 * Counter-based random numbers: Philox-4x32 with ten rounds (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). A draw is a pure function of a key and a counter, so a
 * decision about a sample depends on (seed, purpose, epoch, sample) alone and never on which
 * thread takes it or what was sampled before.
 */

const multiplierA = 0xd2511f53;
const multiplierB = 0xcd9e8d57;
const weylA = 0x9e3779b9;
const weylB = 0xbb67ae85;

/** Upper 32 bits of the product of two unsigned 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (carry >>> 16)) >>> 0;
}

/** Replaces the four counter words in `block` by four random ones. */
export function philox(block: Uint32Array, key0: number, key1: number): void {
  let [x0 = 0, x1 = 0, x2 = 0, x3 = 0] = block;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(multiplierA, x0);
    const high1 = mulHigh(multiplierB, x2);
    const low0 = Math.imul(multiplierA, x0);
    const low1 = Math.imul(multiplierB, x2);
    x0 = (high1 ^ x1 ^ key0) >>> 0;
    x1 = low1 >>> 0;
    x2 = (high0 ^ x3 ^ key1) >>> 0;
    x3 = low0 >>> 0;
    key0 = (key0 + weylA) >>> 0;
    key1 = (key1 + weylB) >>> 0;
  }
  block[0] = x0;
  block[1] = x1;
  block[2] = x2;
  block[3] = x3;
}

/** FNV-1a, 32 bits, over the UTF-8 bytes of a text. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  const add = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193);
  };
  // Code units of ASCII are their bytes; a hash costs less than to encode them.
  const isAscii = Buffer.byteLength(text) === text.length;
  if (isAscii) for (let i = 0; i < text.length; i++) add(text.charCodeAt(i));
  else for (const byte of Buffer.from(text)) add(byte);
  return hash >>> 0;
}

/** Names a stream of random numbers. */
export interface RngKey {
  /** Integer of up to 53 bits. */
  readonly seed: number;
  /** Purpose of the numbers, e.g. `order` or `augment/image`. */
  readonly purpose: string;
  readonly epoch: number;
  /** Index of the sample; 0 where there is none. */
  readonly index?: number;
}

/** The random numbers of one {@link RngKey}, in order. */
export class CounterRng {
  readonly #key0: number;
  readonly #key1: number;
  readonly #epoch: number;
  readonly #index: number;
  readonly #block = new Uint32Array(4);
  #counter = 0;
  #used = 4;

  constructor({ seed, purpose, epoch, index = 0 }: RngKey) {
    this.#key0 = seed >>> 0;
    this.#key1 = (hashText(purpose) ^ Math.floor(seed / 2 ** 32)) >>> 0;
    this.#epoch = epoch;
    this.#index = index;
  }

  /** A uniform unsigned 32-bit integer. */
  bits(): number {
    if (this.#used === 4) {
      this.#block[0] = this.#counter++;
      this.#block[1] = this.#index;
      this.#block[2] = this.#epoch;
      this.#block[3] = 0;
      philox(this.#block, this.#key0, this.#key1);
      this.#used = 0;
    }
    return at(this.#block, this.#used++);
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.bits() / 2 ** 32);
  }

  /** Uniform among the integers 0 … count-1. */
  integer(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** Normal with mean 0 and variance 1: Box and Muller's method. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** One index of `weights`, with a probability proportional to its weight. */
  weighted(weights: readonly number[]): number {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let rest = this.uniform() * total;
    const index = weights.findIndex((weight) => (rest -= weight) < 0);
    return index < 0 ? weights.length - 1 : index;
  }

  /** Puts the first `count` entries of `items` (all by default) into random order: Fisher-Yates. */
  shuffle<T extends { [index: number]: unknown; length: number }>(
    items: T,
    count = items.length,
  ): T {
    for (let i = 0; i < Math.min(count, items.length - 1); i++) {
      const j = i + this.integer(items.length - i);
      const kept = items[i];
      items[i] = items[j];
      items[j] = kept;
    }
    return items;
  }
}
