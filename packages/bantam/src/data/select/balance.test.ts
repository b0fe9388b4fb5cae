import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  balanceClasses,
  captionProbabilities,
  captionWords,
  EntryMatcher,
  sampleByProbability,
} from './balance.js';

const chosen = (mask: Uint8Array): number[] => [...mask.keys()].filter((i) => mask[i] === 1);
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}`);

describe('balanceClasses', () => {
  const labels = Int32Array.of(0, 0, 0, 1, -1, 1, 0);
  const keys = names(7);

  it('keeps the highest scores of each class, and none without a class', () => {
    const scores = Float64Array.of(1, 3, 2, 5, 9, NaN, 3);
    const mask = balanceClasses(labels, { keys, count: 2, scores, seed: 0 });
    assert.deepEqual(chosen(mask), [1, 3, 6]);
  });

  it('chooses at random by seed, a smaller count within a larger one', () => {
    const many = Int32Array.from({ length: 300 }, (_, i) => i % 3);
    const pick = (count: number, seed: number): number[] =>
      chosen(balanceClasses(many, { keys: names(300), count, seed }));
    const five = pick(5, 1);
    assert.equal(five.length, 15);
    const ten = new Set(pick(10, 1));
    assert.ok(five.every((index) => ten.has(index)));
    assert.notDeepEqual(five, pick(5, 2));
  });
});

describe('EntryMatcher', () => {
  it("matches as MetaCLIP's substr_matching does", () => {
    const matcher = new EntryMatcher(['red', 'red dress', 'dress', 'St. Louis', ',', 'a']);
    const found = (caption: string): string[] =>
      matcher.match(caption).map((id) => matcher.entries[id] ?? '');
    assert.deepEqual(found('a red dress'), ['a', 'red', 'red dress', 'dress']);
    // Punctuation is set apart, so two spaces are between the words; undress is another word.
    assert.deepEqual(found('red, dress undress\tred'), ['red', ',', 'dress']);
    assert.deepEqual(found('St. Louis'), []);
    assert.deepEqual(found('Red'), []);
  });

  it('minds no case if asked', () => {
    const matcher = new EntryMatcher(['Eiffel Tower'], { ignoreCase: true });
    assert.deepEqual(matcher.match('the EIFFEL tower at night'), [0]);
  });
});

describe('captionProbabilities', () => {
  const captions = [['a cat'], ['a dog'], ['a cat', 'one cat'], ['a bird'], ['nothing']];
  const matcher = new EntryMatcher(['a', 'cat', 'dog', 'zebra']);

  it("gives t / max(count, t) to entries and MetaCLIP's chance to records", () => {
    const { counts, entryProbabilities, probabilities } = captionProbabilities(captions, {
      matcher,
      t: 2,
    });
    assert.deepEqual([...counts], [4, 3, 1, 0]);
    assert.deepEqual([...entryProbabilities], [2 / 4, 2 / 3, 1, 1]);
    const close = (value: number | undefined, expected: number): void => {
      assert.ok(Math.abs((value ?? NaN) - expected) < 1e-12, `${value} is not ${expected}`);
    };
    close(probabilities[0], 1 - (1 / 2) * (1 / 3));
    close(probabilities[1], 1);
    close(probabilities[2], 1 - (1 / 2) * (1 / 3) * (1 / 3));
    close(probabilities[3], 1 / 2);
    close(probabilities[4], 0);
  });

  it('keeps as many records as the probabilities say, more with a larger t', () => {
    const size = 4000;
    const keys = names(size);
    const records = keys.map((_, i) => (i % 4 === 0 ? ['cat'] : ['a']));
    const keep = (t: number): Set<number> => {
      const { probabilities } = captionProbabilities(records, { matcher, t });
      return new Set(chosen(sampleByProbability(keys, { probabilities, seed: 1 })));
    };
    const small = keep(300);
    // 300 of the cats and 300 of the others are expected, within four standard deviations.
    assert.ok(Math.abs(small.size - 600) < 4 * Math.sqrt(600), `${small.size}`);
    const large = keep(700);
    assert.ok([...small].every((index) => large.has(index)));
  });
});

describe('captionWords', () => {
  it('lists words of at least two captions, lower case and sorted', () => {
    assert.deepEqual(captionWords([['Red cat'], ['a red, red hat'], ['hat']]), ['hat', 'red']);
  });
});
