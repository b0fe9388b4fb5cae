import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learnMerges, type CountedWord } from './learn-merges.js';

const FIRST = 100;
const options = { firstId: FIRST, maxMerges: 50, minFrequency: 2 };

/** The definition of BPE, with all counts taken anew before each merge. */
function learnSlowly(
  words: readonly CountedWord[],
  { firstId, maxMerges, minFrequency } = options,
) {
  let state = words.map(({ symbols, count }) => ({ symbols: [...symbols], count }));
  const merges: [number, number][] = [];
  while (merges.length < maxMerges) {
    const counts = new Map<string, number>();
    for (const { symbols, count } of state) {
      for (let i = 0; i + 1 < symbols.length; i++) {
        const key = symbols.slice(i, i + 2).join();
        counts.set(key, (counts.get(key) ?? 0) + count);
      }
    }
    const [best] = [...counts]
      .map(([key, count]) => ({ pair: key.split(',').map(Number), count }))
      .filter(({ count }) => count >= minFrequency)
      .sort(
        (a, b) =>
          b.count - a.count ||
          (a.pair[0] ?? 0) - (b.pair[0] ?? 0) ||
          (a.pair[1] ?? 0) - (b.pair[1] ?? 0),
      );
    if (best === undefined) break;
    const [left = 0, right = 0] = best.pair;
    const merged = firstId + merges.length;
    merges.push([left, right]);
    state = state.map(({ symbols, count }) => {
      const next: number[] = [];
      for (let i = 0; i < symbols.length; i++) {
        const isPair = symbols[i] === left && symbols[i + 1] === right;
        next.push(isPair ? merged : (symbols[i] ?? 0));
        if (isPair) i++;
      }
      return { symbols: next, count };
    });
  }
  return merges;
}

/** Words over five letters from a small linear congruential generator. */
function randomWords(seed: number, size: number): CountedWord[] {
  let state = seed;
  const next = (limit: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return (state >> 8) % limit;
  };
  return Array.from({ length: size }, () => ({
    symbols: Array.from({ length: 1 + next(9) }, () => next(5)),
    count: 1 + next(4),
  }));
}

describe('learnMerges', () => {
  it('merges the pairs that the definition merges', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const words = randomWords(seed, 60);
      assert.deepEqual(learnMerges(words, options), learnSlowly(words));
    }
  });

  it('does not depend on the order of the words', () => {
    const words = randomWords(7, 200);
    assert.deepEqual(learnMerges([...words].reverse(), options), learnMerges(words, options));
  });

  it('gives ties to the smaller ids, and stops at the least frequency', () => {
    const words = [
      { symbols: [3, 4], count: 5 },
      { symbols: [1, 9], count: 5 },
      { symbols: [1, 2], count: 5 },
      { symbols: [5, 6], count: 1 },
    ];
    assert.deepEqual(learnMerges(words, options), [
      [1, 2],
      [1, 9],
      [3, 4],
    ]);
    assert.equal(learnMerges(words, { ...options, minFrequency: 1 }).length, 4);
    assert.equal(learnMerges(words, { ...options, maxMerges: 2 }).length, 2);
  });

  it('merges overlapping pairs from the left', () => {
    const merges = learnMerges([{ symbols: [1, 1, 1], count: 2 }], options);
    assert.deepEqual(merges, [
      [1, 1],
      [FIRST, 1],
    ]);
  });
});
