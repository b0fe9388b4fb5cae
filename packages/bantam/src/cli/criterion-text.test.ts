import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeCriterion } from './criterion-text.js';

describe('describeCriterion', () => {
  it('has words for every criterion', () => {
    const all = [
      { type: 'top', scores: ['similarity'], fraction: 0.4, ties: 'key' },
      { type: 'top', scores: ['a.similarity', 'b.similarity'], fraction: 0.125, ties: 'keep' },
      { type: 'where', score: 'words', is: '>=', value: 3 },
      { type: 'random', fraction: 0.1, seed: 7 },
      { type: 'per-class', count: 5, labels: 'kind', by: undefined, seed: 1 },
      { type: 'unique', score: 'phash', distance: 4, by: 'similarity' },
      { type: 'unique', score: 'duplicateOf', distance: 4, by: undefined },
      { type: 'balance-captions', t: 20, entries: undefined, ignoreCase: true, seed: 0 },
      { type: 'datacomp-basic', language: 'en', minSide: 200 },
    ] as const;
    assert.deepEqual(all.map(describeCriterion), [
      'the 40 % with the highest similarity',
      'the 12.5 % with the highest rank by a.similarity and b.similarity, ties kept',
      'words >= 3',
      'a random 10 %, seed 7',
      'at most 5 of each class by kind, seed 1',
      'one of each group by phash within 4 bits, the highest similarity',
      'one of each group by duplicateOf, the first',
      'captions balanced to 20 of each word, seed 0',
      "DataComp's basic filter (en, sides of 200 pixels or more)",
    ]);
    const either = { type: 'any', of: [{ type: 'subset', file: 'a.txt' }, all[2]] } as const;
    assert.equal(
      describeCriterion({ type: 'not', of: either }),
      'not ((records of a.txt) or (words >= 3))',
    );
  });
});
