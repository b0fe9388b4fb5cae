import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at, dims } from './at.js';

describe('at', () => {
  it('gives elements from both ends', () => {
    assert.equal(at([1, 2, 3], 0), 1);
    assert.equal(at(new Int32Array([1, 2, 3]), -1), 3);
    assert.equal(at([null], 0), null);
  });

  it('throws for an index outside, or one that is no integer', () => {
    for (const index of [3, -4, 0.5, NaN]) {
      assert.throws(() => at([1, 2, 3], index), RangeError);
    }
    assert.throws(() => at([], 0), /no element 0 in a list of 0/);
  });
});

describe('dims', () => {
  it('gives the sizes as a tuple', () => {
    const [rows, columns] = dims({ shape: [2, 3] }, 2);
    const sum: number = rows + columns;
    assert.equal(sum, 5);
  });

  it('throws for another number of dimensions', () => {
    assert.throws(
      () => dims({ shape: [2, 3] }, 3),
      /3 dimensions is needed, not one of shape \[2, 3\]/,
    );
  });
});
