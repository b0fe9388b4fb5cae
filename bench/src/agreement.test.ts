import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare } from './agreement.js';
import type { Checked } from './protocol.js';

const training = (losses: number[], norm = 1): Checked => {
  return { seconds: 1, losses, gradNorms: [norm, 7] };
};

const inference = (...values: number[]): Checked => {
  const bytes = Buffer.from(Float32Array.from(values).buffer);
  return { seconds: 1, features: bytes.toString('base64') };
};

describe('compare', () => {
  it('agrees within the tolerance of the precision', () => {
    const ours = training([4, 3.9]);
    const theirs = training([4.01, 3.9]);
    assert.equal(compare(ours, theirs, 'bf16').agrees, true);
    assert.equal(compare(ours, theirs, 'fp32').agrees, false);
    assert.ok(Math.abs((compare(ours, theirs, 'fp32').differences.loss ?? 0) - 0.01 / 4.01) < 1e-9);
  });

  it('sees a gradient that differs although the losses do not', () => {
    assert.equal(compare(training([4, 3]), training([4, 3], 1.2), 'bf16').agrees, false);
  });

  it('takes neither NaN nor a missing value for agreement', () => {
    assert.equal(compare(training([NaN, 3]), training([NaN, 3]), 'bf16').agrees, false);
    assert.equal(compare(training([4, 3]), training([4]), 'bf16').agrees, false);
    assert.equal(compare(training([4]), { seconds: 1, losses: [4] }, 'bf16').agrees, false);
    assert.equal(compare({ seconds: 1 }, { seconds: 1 }, 'bf16').agrees, false);
  });

  it('compares features component by component', () => {
    const result = compare(inference(0.6, 0.8), inference(0.6, 0.7), 'bf16');
    assert.equal(result.agrees, false);
    assert.ok(Math.abs((result.differences.feature ?? 0) - 0.1) < 1e-6);
    assert.equal(compare(inference(0.6, 0.8), inference(0.6, 0.8), 'fp32').agrees, true);
    assert.equal(compare(inference(0.6, 0.8), inference(0.6), 'fp32').agrees, false);
  });
});
