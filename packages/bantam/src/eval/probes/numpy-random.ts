/**
 * The part of numpy's random generator that published few-shot protocols draw with, bit for bit:
 * `numpy.random.default_rng(seed).permutation(rows)`. SeedSequence and PCG64 (XSL-RR 128/64) are those
 * of O'Neill 2014 and 2015; the order of draws is numpy's.
 */
import { at } from '../../base/at.js';

const mask32 = 0xffffffffn;
const mask64 = (1n << 64n) - 1n;
const mask128 = (1n << 128n) - 1n;
const multiplier = (0x2360ed051fc65da4n << 64n) | 0x4385df649fccf645n;

/** numpy's `default_rng(seed)`. */
export class NumpyRandom {
  #state: bigint;
  readonly #increment: bigint;
  /** Upper half of the last 64 bits, which the next 32 bits are taken from. */
  #kept: number | undefined;

  /** @param seed An integer of at least 0 and below 2³². */
  constructor(seed: number) {
    const [a, b, c, d] = seedWords(seed);
    this.#increment = ((((c << 64n) | d) << 1n) | 1n) & mask128;
    this.#state = (this.#increment + ((a << 64n) | b)) & mask128;
    this.#advance();
  }

  /** numpy's `permutation` of a one-dimensional array. */
  permutation(items: ArrayLike<number>): number[] {
    const shuffled = Array.from(items);
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.#upTo(i);
      const kept = at(shuffled, i);
      shuffled[i] = at(shuffled, j);
      shuffled[j] = kept;
    }
    return shuffled;
  }

  /** Uniform in 0 … most: masked bits, drawn again while they are above. */
  #upTo(most: number): number {
    let mask = most;
    for (let shift = 1; shift < 32; shift *= 2) mask |= mask >>> shift;
    for (;;) {
      const value = (this.#bits32() & mask) >>> 0;
      if (value <= most) return value;
    }
  }

  #bits32(): number {
    if (this.#kept !== undefined) {
      const bits = this.#kept;
      this.#kept = undefined;
      return bits;
    }
    const bits = this.#bits64();
    this.#kept = Number(bits >> 32n);
    return Number(bits & mask32);
  }

  #bits64(): bigint {
    this.#advance();
    const high = this.#state >> 64n;
    const mixed = (high ^ this.#state) & mask64;
    const turn = high >> 58n;
    return ((mixed >> turn) | (mixed << (64n - turn))) & mask64;
  }

  #advance(): void {
    this.#state = (this.#state * multiplier + this.#increment) & mask128;
  }
}

/** SeedSequence of one 32-bit word: four words of 64 bits. */
function seedWords(seed: number): [bigint, bigint, bigint, bigint] {
  let hash = 0x43b0d7e5;
  const hashed = (value: number): number => {
    const mixed = value ^ hash;
    hash = Math.imul(hash, 0x931e8875);
    const product = Math.imul(mixed, hash);
    return (product ^ (product >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const product = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0;
    return (product ^ (product >>> 16)) >>> 0;
  };
  const pool = [seed, 0, 0, 0].map(hashed);
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from !== to) pool[to] = mix(at(pool, to), hashed(at(pool, from)));
    }
  }
  let output = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, i) => {
    const mixed = at(pool, i % 4) ^ output;
    output = Math.imul(output, 0x58f38ded);
    const product = Math.imul(mixed, output);
    return BigInt((product ^ (product >>> 16)) >>> 0);
  });
  const wide = (i: number): bigint => at(words, 2 * i) | (at(words, 2 * i + 1) << 32n);
  return [wide(0), wide(1), wide(2), wide(3)];
}
