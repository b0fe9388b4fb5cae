import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eye, liveTensors, scope, tensor } from '@bantam/torch';
import { rankPositives } from './ranks.js';

/** Ranks where the scores themselves are given: the gallery is the identity. */
function rank(scores: number[][], positives: number[][], maxScores?: number) {
  return scope(() => {
    const options = maxScores === undefined ? {} : { maxScores };
    const gallery = eye(scores[0]?.length ?? 0);
    const { positive, first } = rankPositives(tensor(scores), gallery, positives, options);
    return { positive: [...positive], first: [...first] };
  });
}

describe('rankPositives', () => {
  it('counts the items before the best positive', () => {
    const scores = [
      [0.1, 0.9, 0.5],
      [0.3, 0.2, 0.1],
    ];
    assert.deepEqual(rank(scores, [[0], [1, 2]]), { positive: [2, 1], first: [1, 0] });
  });

  it('puts the lower index first among equal scores', () => {
    const scores = [
      [1, 1, 1],
      [0, 2, 2],
      [5, 5, 0],
    ];
    const { positive, first } = rank(scores, [[2], [2, 1], [1]]);
    assert.deepEqual(positive, [2, 0, 1]);
    assert.deepEqual(first, [0, 1, 0]);
  });

  it('gives the same in chunks of any size', () => {
    const scores = Array.from({ length: 7 }, (_, i) =>
      Array.from({ length: 5 }, (__, j) => (i * i + 3 * j * i + j) % 4),
    );
    const positives = scores.map((_, i) => [i % 5, (i * 2) % 5]);
    const whole = rank(scores, positives);
    for (const maxScores of [1, 10, 11, 34]) {
      assert.deepEqual(rank(scores, positives, maxScores), whole);
    }
  });

  it('puts a positive whose score is no number last', () => {
    assert.deepEqual(rank([[NaN, 0, 1]], [[0]]).positive, [3]);
  });

  it('leaves no tensors behind', () => {
    const before = liveTensors();
    rank([[1, 2]], [[0]]);
    assert.equal(liveTensors(), before);
  });
});
