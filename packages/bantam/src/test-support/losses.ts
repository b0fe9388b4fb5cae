import assert from 'node:assert/strict';
import { at, fromTypedArray, scope, type Tensor } from '@bantam/torch';

/** A scalar function of tensors. */
export type Loss<Inputs extends readonly Tensor[]> = (inputs: Inputs) => Tensor;

/** The numbers of a float64 tensor. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** Asserts a difference of at most `tolerance` of the expected number, or of 1. */
export function near(actual: number, expected: number, tolerance: number): void {
  const error = Math.abs(actual - expected);
  assert.ok(error <= tolerance * Math.max(1, Math.abs(expected)), `${actual}, not ${expected}`);
}

/** The loss at these inputs, and its gradient with respect to each; zeros where there is none. */
export function valueAndGradients<Inputs extends readonly Tensor[]>(
  loss: Loss<Inputs>,
  inputs: readonly Numbers[],
): number[][] {
  return scope(() => {
    const leaves = inputs.map(({ values, shape }) => {
      const leaf = fromTypedArray(Float64Array.from(values), { shape });
      leaf.requiresGrad = true;
      return leaf;
    });
    const value = loss(leaves as unknown as Inputs);
    value.backward();
    return [[value.item()], ...leaves.map((x) => x.grad?.toArray() ?? x.toArray().map(() => 0))];
  });
}

/** Asserts that every gradient is (f(x + h) − f(x − h)) / 2h within 2·10⁻⁸, h = 10⁻⁶. */
export function assertFiniteDifferences<Inputs extends readonly Tensor[]>(
  loss: Loss<Inputs>,
  inputs: readonly Numbers[],
): void {
  const h = 1e-6;
  const [, ...gradients] = valueAndGradients(loss, inputs);
  const valueAt = (input: number, index: number, x: number): number => {
    const moved = inputs.map(({ shape, values }, i) => ({
      shape,
      values: i === input ? values.with(index, x) : values,
    }));
    return at(at(valueAndGradients(loss, moved), 0), 0);
  };
  for (const [i, { values }] of inputs.entries()) {
    for (const [index, x] of values.entries()) {
      const slope = (valueAt(i, index, x + h) - valueAt(i, index, x - h)) / (2 * h);
      near(at(at(gradients, i), index), slope, 2e-8);
    }
  }
}
