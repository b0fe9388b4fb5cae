import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { compareKeys } from './ranking.js';

/** Largest Hamming distance of {@link groupByHash}. */
export const mostHashDistance = 15;

/** Bands of 21, 22 and 21 bits: a million hashes leave about one to a value. */
const bands = 3;
const bandValues = 2 ** 22;

/**
 * Groups records by 64-bit hashes: in order, each joins the nearest earlier leader within a Hamming
 * distance, or leads a group of its own. A record without a hash is alone. Hashes are compared only
 * if one of their three bands differs in at most ⌊distance / 3⌋ bits, which by the pigeonhole
 * principle misses none (multi-index hashing, Norouzi et al. 2012).
 *
 * @param hashes 16 hexadecimal digits each.
 * @returns the leader of each record, its own index for leaders.
 * @throws BantamError for a distance above 15 or a hash of another form.
 */
export function groupByHash(
  hashes: readonly (string | undefined)[],
  { distance }: { distance: number },
): Int32Array {
  if (!(Number.isInteger(distance) && distance >= 0 && distance <= mostHashDistance)) {
    throw new BantamError(
      `The distance of hashes is ${distance}; it must be a whole number from 0 to ${mostHashDistance} of their 64 bits.`,
    );
  }
  const size = hashes.length;
  // Both halves of each hash, and the records of each band's value as linked lists: leaders alone.
  const high = new Uint32Array(size);
  const low = new Uint32Array(size);
  const heads = new Int32Array(bands * bandValues).fill(-1);
  const next = new Int32Array(bands * size);
  const masks = masksUpTo(Math.floor(distance / bands));
  const leaders = Int32Array.from({ length: size }, (_, index) => index);
  const bandOf = (i: number, band: number): number => {
    if (band === 0) return at(high, i) >>> 11;
    if (band === 2) return at(low, i) & 0x1fffff;
    return ((at(high, i) & 0x7ff) << 11) | (at(low, i) >>> 21);
  };
  for (const [i, hash] of hashes.entries()) {
    if (hash === undefined) continue;
    if (!/^[0-9a-f]{16}$/.test(hash)) {
      throw new BantamError(`"${hash}" is no hash of 16 hexadecimal digits; name the score phash.`);
    }
    high[i] = parseInt(hash.slice(0, 8), 16);
    low[i] = parseInt(hash.slice(8), 16);
    let best = distance + 1;
    let leader = -1;
    for (let band = 0; band < bands; band++) {
      const value = bandOf(i, band);
      for (const mask of masks) {
        let j = at(heads, band * bandValues + (value ^ mask));
        for (; j >= 0; j = at(next, band * size + j)) {
          const bits = apart(high, low, i, j);
          if (bits < best || (bits === best && j < leader)) {
            best = bits;
            leader = j;
          }
        }
      }
    }
    if (leader >= 0) {
      leaders[i] = leader;
      continue;
    }
    for (let band = 0; band < bands; band++) {
      const slot = band * bandValues + bandOf(i, band);
      next[band * size + i] = at(heads, slot);
      heads[slot] = i;
    }
  }
  return leaders;
}

/** Hamming distance of two hashes. */
function apart(high: Uint32Array, low: Uint32Array, i: number, j: number): number {
  return bitCount(at(high, i) ^ at(high, j)) + bitCount(at(low, i) ^ at(low, j));
}

/** All 22-bit masks with at most so many bits. */
function masksUpTo(bits: number): Int32Array {
  const masks = [0];
  for (let mask = 1; mask < bandValues; mask++) if (bitCount(mask) <= bits) masks.push(mask);
  return Int32Array.from(masks);
}

/** Set bits of a 32-bit integer. */
function bitCount(value: number): number {
  let bits = value - ((value >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/**
 * Groups records by the key of the one that each duplicates; records without one, or whose leader
 * is not among them, lead a group of their own.
 */
export function groupByLeader(
  keys: readonly string[],
  leaderKeys: readonly (string | undefined)[],
): Int32Array {
  const indices = new Map(keys.map((key, index) => [key, index]));
  // Records whose leader is not among them stay together under the first of them.
  const groups = new Map<string, number>();
  return Int32Array.from(keys, (key, index) => {
    const leader = leaderKeys[index] ?? key;
    const known = indices.get(leader) ?? groups.get(leader);
    if (known !== undefined) return known;
    groups.set(leader, index);
    return index;
  });
}

/**
 * Keeps one record of each group: that with the highest score, of equals the smallest key; without
 * scores the first. A record without a score comes after those that have one.
 */
export function bestOfGroups(
  leaders: Int32Array,
  { keys, scores }: { keys: readonly string[]; scores?: Float64Array | undefined },
): Uint8Array {
  const best = new Int32Array(leaders.length).fill(-1);
  const isBetter = (index: number, other: number): boolean => {
    if (scores === undefined) return false;
    const [a, b] = [scoreOf(scores, index), scoreOf(scores, other)];
    return a > b || (a === b && compareKeys(at(keys, index), at(keys, other)) < 0);
  };
  for (const [index, leader] of leaders.entries()) {
    const other = at(best, leader);
    if (other < 0 || isBetter(index, other)) best[leader] = index;
  }
  const kept = new Uint8Array(leaders.length);
  for (const index of best) if (index >= 0) kept[index] = 1;
  return kept;
}

function scoreOf(scores: Float64Array, index: number): number {
  const score = at(scores, index);
  return Number.isNaN(score) ? -Infinity : score;
}
