import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { confusions } from './confusions.js';

describe('confusions', () => {
  const classes = ['cat', 'dog', 'fox'];
  //                            0  1  2  3  4  5  6   7  8  9
  const labels = Int32Array.of(0, 0, 0, 1, 1, 2, 2, -1, 1, 0);
  const taken = Int32Array.of(1, 1, 0, 2, 2, 0, 2, 0, 1, 2);

  it('come by how many images they cost, then by their fraction of the class', () => {
    assert.deepEqual(confusions({ classes, labels, predicted: taken }), [
      { truth: 'dog', predicted: 'fox', count: 2, of: 3, examples: [3, 4] },
      { truth: 'cat', predicted: 'dog', count: 2, of: 4, examples: [0, 1] },
      { truth: 'fox', predicted: 'cat', count: 1, of: 2, examples: [5] },
      { truth: 'cat', predicted: 'fox', count: 1, of: 4, examples: [9] },
    ]);
  });

  it('keep as many pairs and examples as asked for', () => {
    const keep = { pairs: 1, examples: 1 };
    const [only, ...more] = confusions({ classes, labels, predicted: taken, keep });
    assert.deepEqual(more, []);
    assert.deepEqual(only?.examples, [3]);
    assert.equal(only.count, 2);
  });

  it('are none where every answer is right', () => {
    assert.deepEqual(confusions({ classes, labels, predicted: labels }), []);
  });
});
