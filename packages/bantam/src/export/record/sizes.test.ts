import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fitSize, isDynamic, sizeAt, type Point } from './sizes.js';

const grid: readonly Point[] = [
  { batch: 2, tokens: 10 },
  { batch: 3, tokens: 10 },
  { batch: 2, tokens: 11 },
  { batch: 3, tokens: 11 },
  { batch: 5, tokens: 9 },
];

const valuesOf = (size: (point: Point) => number, points = grid) => points.map(size);

describe('fitSize', () => {
  const sizes: Record<string, (point: Point) => number> = {
    '12·batch': ({ batch }) => 12 * batch,
    '32 − tokens': ({ tokens }) => 32 - tokens,
    'batch·tokens + 2·batch − 1': ({ batch, tokens }) => batch * tokens + 2 * batch - 1,
  };
  for (const [name, size] of Object.entries(sizes)) {
    it(`finds ${name}`, () => {
      const fitted = fitSize(valuesOf(size), grid);
      assert.ok(isDynamic(fitted));
      const other = { batch: 7, tokens: 3 };
      assert.equal(sizeAt(fitted, other), size(other));
    });
  }

  it('gives a number for a constant', () => {
    assert.equal(fitSize([4, 4, 4, 4, 4], grid), 4);
    assert.equal(fitSize([-Infinity, -Infinity], grid.slice(0, 2)), -Infinity);
  });

  it('needs no text lengths where there are none', () => {
    const points = [2, 3, 5].map((batch) => ({ batch, tokens: 0 }));
    assert.deepEqual(fitSize([64, 96, 160], points), {
      constant: 0,
      batch: 32,
      tokens: 0,
      product: 0,
    });
  });

  it('refuses what is no polynomial of batch and tokens', () => {
    for (const size of [
      ({ batch }: Point) => batch ** 2,
      ({ tokens }: Point) => tokens ** 2,
      ({ tokens }: Point) => 1 / tokens,
      ({ tokens }: Point) => Math.max(tokens, 10),
    ]) {
      assert.throws(() => fitSize(valuesOf(size), grid), {
        name: 'BantamError',
        message: /cannot be exported/,
      });
    }
  });
});
