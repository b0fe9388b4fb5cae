import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mean, quantile, upperMedian } from './statistics.js';

describe('mean', () => {
  it('is the sum over the number, of lists and of typed arrays; NaN of none', () => {
    assert.equal(mean([1, 2, 6]), 3);
    assert.equal(mean(Float32Array.of(0.5, 1)), 0.75);
    assert.ok(Number.isNaN(mean([])));
  });
});

describe('quantile', () => {
  it('interpolates between neighbours, as numpy does', () => {
    const sorted = [1, 2, 4, 8];
    assert.deepEqual([0, 0.25, 0.5, 0.75, 1].map((q) => quantile(sorted, q)), [1, 1.75, 3, 5, 8]); // prettier-ignore
    assert.equal(quantile(Float64Array.of(5), 0.3), 5);
  });
});

describe('upperMedian', () => {
  it('is one of the values, whatever their order', () => {
    assert.equal(upperMedian([3, 1, 2]), 2);
    assert.equal(upperMedian([4, 10, 1, 2]), 4);
  });
});
