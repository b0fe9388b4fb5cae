import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eye, loadSafetensors, tensor, type Tensor } from '@bantam/torch';
import { expectedPrecision, multiLabel } from './average-precision.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../fixtures/eval/${name}`, import.meta.url));

function stored(name: string): Tensor {
  return loadSafetensors(fixture('multilabel.safetensors')).tensors.get(name) ?? assert.fail(name);
}

describe('multiLabel', () => {
  it("equals CLIP_benchmark's mean average precision on the same scores", () => {
    const expected = JSON.parse(readFileSync(fixture('multilabel.json'), 'utf8')) as {
      average_precision: number[];
      mean_average_precision: number;
    };
    const target = stored('target');
    const [images = 0, classes = 0] = target.shape;
    const values = target.toArray();
    const several = Array.from({ length: images }, (_, row) =>
      Array.from({ length: classes }, (_, id) => id).filter(
        (id) => values[row * classes + id] === 1,
      ),
    );
    const names = Array.from({ length: classes }, (_, id) => `class ${id}`);
    const input = { image: stored('image'), weights: stored('weights'), classes: names, several };
    const found = multiLabel(input);
    found.classPrecisions.forEach(({ averagePrecision }, id) => {
      // The reference sums in float32.
      assert.ok(Math.abs(averagePrecision - (expected.average_precision[id] ?? NaN)) < 1e-6);
    });
    const { mean_average_precision: mean = NaN } = found.metrics;
    assert.ok(Math.abs(Number(mean) - expected.mean_average_precision) < 1e-6);
    const [low = NaN, high = NaN] = found.intervals.mean_average_precision ?? [];
    assert.ok(low < Number(mean) && Number(mean) < high && high - low < 0.3);
    assert.equal(found.classPrecisions[3]?.averagePrecision, 0);
    // In parts of one class each nothing changes.
    assert.deepEqual(multiLabel({ ...input, maxScores: 1 }).metrics, found.metrics);
  });

  it('counts by hand: ranks 1 and 3 of three images give (1 + 2/3) / 2', () => {
    const image = tensor([[3, 0], [2, 1], [1, 2]]); // prettier-ignore
    const found = multiLabel({ image, weights: eye(2), classes: ['a', 'b'], several: [[0], [], [0, 1]] }); // prettier-ignore
    assert.deepEqual(
      found.classPrecisions.map(({ averagePrecision }) => averagePrecision),
      [(1 + 2 / 3) / 2, 1],
    );
  });

  it('refuses images of which none shows a class', () => {
    const image = tensor([[1, 0]]);
    assert.throws(
      () => multiLabel({ image, weights: eye(2), classes: ['a', 'b'], several: [[]] }),
      /No image shows a class/,
    );
  });
});

describe('expectedPrecision', () => {
  it('is the mean average precision over all orders', () => {
    const orders = (items: readonly number[]): number[][] =>
      items.length < 2
        ? [[...items]]
        : items.flatMap((item, i) => orders(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
    for (const right of [1, 2, 3, 5]) {
      const all = orders([0, 1, 2, 3, 4]);
      let sum = 0;
      for (const order of all) {
        let seen = 0;
        order.forEach((item, rank) => {
          if (item < right) sum += ++seen / (rank + 1) / right;
        });
      }
      assert.ok(Math.abs(expectedPrecision(5, right) - sum / all.length) < 1e-12);
    }
    assert.equal(expectedPrecision(5, 0), 0);
    assert.equal(expectedPrecision(1, 1), 1);
  });
});
