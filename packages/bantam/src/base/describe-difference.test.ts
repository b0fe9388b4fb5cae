import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeDifference } from './describe-difference.js';

describe('describeDifference', () => {
  it('names what differs, with both values', () => {
    assert.equal(
      describeDifference({ seed: 1, count: 3, model: 'a' }, { seed: 2, count: 3, beams: 4 }),
      'seed 1, model "a", beams not set, but now seed 2, model not set, beams 4 is asked for',
    );
  });

  it('is undefined for equal settings in whatever order', () => {
    assert.equal(describeDifference({ a: 1, b: [2] }, { b: [2], a: 1 }), undefined);
  });
});
