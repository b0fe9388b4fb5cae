import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { median, relativeDifference, spread } from './statistics.js';

describe('statistics', () => {
  it('takes the middle, or the mean of the two middles', () => {
    assert.equal(median([5, 1, 3]), 3);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.throws(() => median([]), RangeError);
  });

  it('leaves the values in their order', () => {
    const values = [3, 1, 2];
    assert.deepEqual(spread(values), { median: 2, lowest: 1, highest: 3 });
    assert.deepEqual(values, [3, 1, 2]);
  });

  it('compares relative to the larger value', () => {
    assert.equal(relativeDifference(2, 1), 0.5);
    assert.equal(relativeDifference(-1, 1), 2);
    assert.equal(relativeDifference(0, 0), 0);
    assert.ok(Number.isNaN(relativeDifference(NaN, 1)));
  });
});
