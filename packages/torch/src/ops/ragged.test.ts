import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertGradients } from '../fixture.test.helper.js';
import { Generator, mul, packRows, randn, reshape, sum, to, unpackRows } from '../index.js';
import { arange } from './create.js';

// The second sequence is empty, the last one as long as the batch.
const packing = { starts: [0, 2, 2, 5], length: 3 };

describe('packRows', () => {
  it('takes the first rows of each sequence, of any type and rank', () => {
    for (const dtype of ['int64', 'float32', 'bfloat16'] as const) {
      const ids = to(reshape(arange(9), [3, 3]), { dtype });
      assert.deepEqual(packRows(ids, packing).toArray(), [0, 1, 6, 7, 8]);
    }
    const rows = packRows(reshape(to(arange(18), { dtype: 'float32' }), [3, 3, 2]), packing);
    assert.deepEqual(rows.shape, [5, 2]);
    assert.deepEqual(rows.toArray(), [0, 1, 2, 3, 12, 13, 14, 15, 16, 17]);
  });

  it('refuses sequences that the batch does not have', () => {
    const batch = reshape(arange(9), [3, 3]);
    assert.throws(
      () => packRows(batch, { starts: [0, 4, 5, 6], length: 3 }),
      /4 rows.*length of 3/,
    );
    assert.throws(() => packRows(batch, { starts: [0, 3], length: 3 }), /one start for each/);
    assert.throws(() => packRows(batch, { starts: [0, 2, 1, 2], length: 3 }), /does not fit/);
  });
});

describe('unpackRows', () => {
  it('is the inverse, with zeros behind each sequence', () => {
    const rows = reshape(to(arange(10), { dtype: 'float32' }), [5, 2]);
    const batch = unpackRows(rows, packing);
    assert.deepEqual(batch.shape, [3, 3, 2]);
    assert.deepEqual(batch.toArray(), [0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(packRows(batch, packing).toArray(), rows.toArray());
  });

  it('refuses another number of rows', () => {
    assert.throws(() => unpackRows(reshape(arange(8), [4, 2]), packing), /5 rows were given 4/);
  });
});

it('packing and unpacking have the gradients of finite differences', () => {
  const generator = new Generator({ seed: 0 });
  const draw = (shape: readonly number[]) => randn(shape, generator, { dtype: 'float64' });
  const [batch, rows] = [draw([3, 3, 2]), draw([5, 2])];
  assertGradients(() => sum(mul(packRows(mul(batch, batch), packing), rows)), [batch, rows]);
  assertGradients(() => sum(mul(unpackRows(mul(rows, rows), packing), batch)), [batch, rows]);
});
