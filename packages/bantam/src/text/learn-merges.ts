import { at } from '../base/at.js';
import { PriorityQueue } from './priority-queue.js';

/** A pair of neighbouring tokens. */
interface Pair {
  readonly key: number;
  readonly count: number;
}

/** Two ids as one number; exact for ids below 2²⁶. */
const STRIDE = 2 ** 26;

/** Frequent pairs first; of equally frequent ones the pair with the smaller ids. */
function isBefore(a: Pair, b: Pair): boolean {
  return a.count > b.count || (a.count === b.count && a.key < b.key);
}

/** Replaces each `left right` by `merged`, from the left. */
function mergePair(word: readonly number[], left: number, right: number, merged: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < word.length; i++) {
    const symbol = at(word, i);
    if (symbol === left && word[i + 1] === right) {
      result.push(merged);
      i++;
    } else {
      result.push(symbol);
    }
  }
  return result;
}

/** A word as the ids of its tokens, and how often it occurs. */
export interface CountedWord {
  readonly symbols: readonly number[];
  readonly count: number;
}

export interface LearnMergesOptions {
  /** The id that the first merge gets; later ones count on from it. */
  readonly firstId: number;
  readonly maxMerges: number;
  /** Pairs that occur less often than this do not merge. */
  readonly minFrequency: number;
}

/**
 * Byte-pair encoding (Sennrich et al., "Neural Machine Translation of Rare Words with Subword
 * Units", 2016): merges the most frequent pair of neighbouring tokens, again and again. Counts are
 * kept up to date word by word instead of being taken anew, so that the time goes with the number
 * of changes. Ties go to the pair with the smaller left id, then the smaller right id; the result
 * does not depend on the order of the words.
 *
 * @returns the merged pairs of ids, in order
 */
export function learnMerges(
  words: readonly CountedWord[],
  { firstId, maxMerges, minFrequency }: LearnMergesOptions,
): [left: number, right: number][] {
  const symbols = words.map((word) => word.symbols);
  const counts = new Map<number, number>();
  const wordsWith = new Map<number, Set<number>>();
  const queue = new PriorityQueue(isBefore);

  /** Adds `sign` times a word's pairs to the counts, and notes which pairs that touched. */
  const count = (index: number, sign: 1 | -1, touched: Set<number>): void => {
    const word = at(symbols, index);
    const weight = sign * at(words, index).count;
    for (let i = 0; i + 1 < word.length; i++) {
      const key = at(word, i) * STRIDE + at(word, i + 1);
      counts.set(key, (counts.get(key) ?? 0) + weight);
      touched.add(key);
      if (sign < 0) continue;
      const holders = wordsWith.get(key);
      if (holders) holders.add(index);
      else wordsWith.set(key, new Set([index]));
    }
  };
  const enqueue = (keys: Iterable<number>): void => {
    for (const key of keys) {
      const frequency = counts.get(key) ?? 0;
      if (frequency >= minFrequency) queue.push({ key, count: frequency });
    }
  };

  const all = new Set<number>();
  words.forEach((_, index) => {
    count(index, 1, all);
  });
  enqueue(all);
  const merges: [number, number][] = [];
  while (merges.length < maxMerges) {
    const top = queue.pop();
    if (top === undefined) break;
    // An entry from before the count changed; the change has put another one into the queue.
    if (counts.get(top.key) !== top.count) continue;
    const left = Math.floor(top.key / STRIDE);
    const right = top.key % STRIDE;
    const merged = firstId + merges.length;
    merges.push([left, right]);
    const touched = new Set<number>();
    for (const index of wordsWith.get(top.key) ?? []) {
      const word = at(symbols, index);
      const shorter = mergePair(word, left, right, merged);
      if (shorter.length === word.length) continue;
      count(index, -1, touched);
      symbols[index] = shorter;
      count(index, 1, touched);
    }
    wordsWith.delete(top.key);
    counts.delete(top.key);
    touched.delete(top.key);
    enqueue(touched);
  }
  return merges;
}
