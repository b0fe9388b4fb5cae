import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Generator, ones } from '@bantam/torch';
import { dropPath, dropPathRates } from './run-block.js';

describe('dropPath', () => {
  it('skips the branch of a fraction of the samples, and scales the others', () => {
    const [batch, rate] = [4000, 0.3];
    using branch = ones([batch, 2, 3]);
    using dropped = dropPath(branch, { rate, generator: new Generator({ seed: 1 }) });
    const values = dropped.toArray();
    let kept = 0;
    for (let sample = 0; sample < batch; sample++) {
      const own = values.slice(6 * sample, 6 * sample + 6);
      const [first = NaN] = own;
      assert.ok(own.every((value) => value === first));
      if (first === 0) continue;
      assert.ok(Math.abs(first - 1 / (1 - rate)) < 1e-6);
      kept++;
    }
    const error = 4 * Math.sqrt(batch * rate * (1 - rate));
    assert.ok(Math.abs(kept - batch * (1 - rate)) < error, `${kept} of ${batch} are kept`);
  });

  it('returns the branch unchanged at a rate of 0', () => {
    using branch = ones([2, 3]);
    assert.equal(dropPath(branch, { rate: 0, generator: undefined }), branch);
  });
});

describe('dropPathRates', () => {
  it('rises evenly from 0 over all blocks', () => {
    assert.deepEqual(dropPathRates([2, 1, 2], 0.5), [[0, 0.125], [0.25], [0.375, 0.5]]);
    assert.deepEqual(dropPathRates([1], 0.5), [[0]]);
  });
});
