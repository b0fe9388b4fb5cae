/** PyTorch's reference values (fixtures/generate_nn.py) and comparisons, for the tests. */
import { at } from './at.js';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { copy_, fromTypedArray, grad, loadSafetensors, noGrad, type Tensor } from './index.js';

const folder = new URL('../fixtures/', import.meta.url);

/** The parsed `fixtures/<name>.json`. */
export function fixtureJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
}

/** Looks tensors of `fixtures/<name>.safetensors` up by name. */
export function fixtureTensors(name: string): ReadonlyMap<string, Tensor> {
  return loadSafetensors(fileURLToPath(new URL(`${name}.safetensors`, folder))).tensors;
}

/** A tensor that the fixtures must have. */
export function need(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = tensors.get(name);
  assert.ok(found, `the fixtures have no '${name}'`);
  return found;
}

/** The largest |a − b| of two tensors of one shape; NaN where one of the differences is. */
export function difference(a: Tensor, b: Tensor): number {
  assert.deepEqual(a.shape, b.shape);
  const expected = b.toArray();
  return a
    .toArray()
    .reduce((most, value, index) => Math.max(most, Math.abs(value - at(expected, index))), 0);
}

/** Asserts |actual − expected| ≤ tolerance·max(1, |expected|) for every element. */
export function assertClose(
  actual: Tensor,
  expected: Tensor,
  { tolerance = 1e-5, what = 'tensor' }: { tolerance?: number; what?: string } = {},
): void {
  assert.deepEqual(actual.shape, expected.shape, `${what}: shape`);
  const wanted = expected.toArray();
  for (const [index, value] of actual.toArray().entries()) {
    const goal = at(wanted, index);
    assert.ok(
      value === goal || Math.abs(value - goal) <= tolerance * Math.max(1, Math.abs(goal)),
      `${what}[${index}] is ${value}, PyTorch has ${goal}`,
    );
  }
}

/**
 * Asserts that autograd's gradients of a float64 scalar equal central differences, for every
 * element of every leaf.
 */
export function assertGradients(
  loss: () => Tensor,
  leaves: readonly Tensor[],
  { step = 1e-6, tolerance = 1e-7 }: { step?: number; tolerance?: number } = {},
): void {
  for (const leaf of leaves) leaf.requiresGrad = true;
  const gradients = grad([loss()], leaves).map((gradient) => gradient?.toArray() ?? []);
  noGrad(() => {
    for (const [index, leaf] of leaves.entries()) {
      const values = leaf.toArray();
      const lossAt = (place: number, value: number): number => {
        const moved = Float64Array.from(values).with(place, value);
        copy_(leaf, fromTypedArray(moved, { shape: leaf.shape }));
        return loss().item();
      };
      for (const [place, value] of values.entries()) {
        const slope = (lossAt(place, value + step) - lossAt(place, value - step)) / (2 * step);
        lossAt(place, value);
        const analytic = at(at(gradients, index), place);
        assert.ok(
          Math.abs(slope - analytic) <= tolerance * Math.max(1, Math.abs(slope)),
          `gradient ${index}[${place}] is ${analytic}, differences give ${slope}`,
        );
      }
    }
  });
}
