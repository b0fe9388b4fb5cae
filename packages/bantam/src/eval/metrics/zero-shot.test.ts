import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eye, loadSafetensors, normalize, type Tensor } from '@bantam/torch';
import { classifierWeights, zeroShot } from './zero-shot.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../fixtures/eval/${name}`, import.meta.url));
const { tensors } = loadSafetensors(fixture('zero-shot.safetensors'));
const expected = JSON.parse(readFileSync(fixture('zero-shot.json'), 'utf8')) as Record<
  string,
  { classes: number; metrics: Record<string, number | null> }
>;

function stored(name: string): Tensor {
  const found = tensors.get(name);
  assert.ok(found, `the fixture has ${name}`);
  return found;
}

const names = (count: number): string[] => Array.from({ length: count }, (_, id) => `class ${id}`);
const labelsOf = (name: string): Int32Array => Int32Array.from(stored(`${name}.labels`).toArray());

function assertNear(actual: Record<string, number | null>, wanted: Record<string, number | null>) {
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(wanted).sort());
  for (const [name, value] of Object.entries(wanted)) {
    if (value === null) assert.equal(actual[name], null);
    else
      assert.ok(Math.abs((actual[name] ?? NaN) - value) < 1e-9, `${name}: ${actual[name] ?? ''}`);
  }
}

describe('zeroShot', () => {
  for (const name of ['many_classes', 'four_classes']) {
    it(`equals the reference: ${name}`, () => {
      const weights = classifierWeights(stored(`${name}.prompt_features`));
      const reference = stored(`${name}.classifier`);
      const [width = 0, classes = 0] = reference.shape;
      assert.deepEqual(weights.shape, [classes, width]);
      const wanted = reference.toArray();
      weights.toArray().forEach((value, at) => {
        const other = wanted[(at % width) * classes + Math.floor(at / width)] ?? NaN;
        assert.ok(Math.abs(value - other) < 1e-6);
      });
      const result = zeroShot({
        image: normalize(stored(`${name}.image_features`)),
        weights,
        classes: names(classes),
        labels: labelsOf(name),
      });
      assertNear(result.metrics, expected[name]?.metrics ?? {});
    });
  }

  it('equals the reference where scores are tied', () => {
    const result = zeroShot({
      image: stored('tied.logits'),
      weights: eye(8),
      classes: names(8),
      labels: labelsOf('tied'),
      maxScores: 20,
    });
    assertNear(result.metrics, expected.tied?.metrics ?? {});
  });

  it('leaves out images without a class', () => {
    const labels = Int32Array.of(0, -1, 2, -1, 2);
    const result = zeroShot({ image: eye(5), weights: eye(5), classes: names(5), labels });
    assert.equal(result.samples, 3);
    assert.deepEqual(result.metrics, { acc1: 2 / 3, acc5: 1, mean_per_class_recall: 0.75 });
    assert.deepEqual(result.chance, { acc1: 0.2, acc5: 1, mean_per_class_recall: 0.2 });
    assert.equal(result.majority, 2 / 3);
    assert.deepEqual(result.confusions, [
      { truth: 'class 2', predicted: 'class 4', count: 1, of: 2, examples: [4] },
    ]);
  });

  it('refuses images that have no classes at all', () => {
    const labels = Int32Array.of(-1, -1);
    const call = () => zeroShot({ image: eye(2), weights: eye(2), classes: names(2), labels });
    assert.throws(call, /No image has a class/);
  });
});
