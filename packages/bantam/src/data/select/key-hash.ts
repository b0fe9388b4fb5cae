import { createHash } from 'node:crypto';

/**
 * A number from 0 to 1, uniform over keys: the first 53 bits of SHA-256("SEED\0PURPOSE\0KEY") /
 * 2⁵³. It depends on nothing else, so a choice by it is the same in any order of the records.
 */
export function uniformOfKey(key: string, { seed, purpose }: KeyHash): number {
  const digest = createHash('sha256').update(`${seed}\0${purpose}\0${key}`).digest();
  return (digest.readUInt32BE(0) * 2 ** 21 + (digest.readUInt32BE(4) >>> 11)) / 2 ** 53;
}

/** A family of {@link uniformOfKey}. */
export interface KeyHash {
  readonly seed: number;
  /** Decision that the numbers are for, e.g. `random subset`. */
  readonly purpose: string;
}
