import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { detach, loadSafetensors, narrow, scope, to, type Tensor } from '@bantam/torch';
import { find, type Reference } from './tower-fixture.js';

/** Values that a generator of losses wrote: `<loss>.<batch>.value` and `.grad.<input>`. */
export function openLosses(name: string): Reference {
  const path = new URL(`../fixtures/${name}.safetensors`, import.meta.url);
  return loadSafetensors(fileURLToPath(path)).tensors;
}

/** Options of {@link describeLoss}. */
export interface LossCase<Name extends string> {
  readonly name: string;
  readonly reference: Reference;
  readonly batches: readonly number[];
  readonly chunks?: readonly (number | undefined)[];
  /** The inputs by name, before they are given the dtype. */
  readonly inputs: (n: number) => Readonly<Record<Name, Tensor>>;
  readonly loss: (inputs: Readonly<Record<Name, Tensor>>, n: number, chunk?: number) => Tensor;
}

/** The first n rows of a reference tensor. */
export function firstRows(reference: Reference, name: string, n: number): Tensor {
  return narrow(find(reference, name), 0, 0, n);
}

function assertNear(actual: Tensor | null, expected: Tensor, tolerance: number, what: string) {
  const values = actual?.toArray() ?? [];
  expected.toArray().forEach((wanted, i) => {
    const error = Math.abs((values[i] ?? NaN) - wanted);
    assert.ok(error <= tolerance * Math.max(1, Math.abs(wanted)), `${what}[${i}]: off by ${error}`);
  });
}

/** Holds a loss and its gradients against the reference, in both types. */
export function describeLoss<Name extends string>({
  name,
  reference,
  batches,
  chunks = [undefined],
  inputs: inputsOf,
  loss,
}: LossCase<Name>): void {
  describe(`${name} loss`, () => {
    for (const [dtype, tolerance] of [
      ['float64', 1e-8],
      ['float32', 1e-5],
    ] as const) {
      it(`has the reference's values and gradients in ${dtype}`, () => {
        for (const n of batches) {
          for (const chunk of chunks) {
            scope(() => {
              const leaves = Object.entries<Tensor>(inputsOf(n)).map(([key, tensor]) => {
                const leaf = detach(to(tensor, { dtype }));
                leaf.requiresGrad = true;
                return [key, leaf] as const;
              });
              const inputs = Object.fromEntries(leaves) as Record<Name, Tensor>;
              const value = loss(inputs, n, chunk);
              value.backward();
              const prefix = `${name}.${n}`;
              assertNear(value, find(reference, `${prefix}.value`), tolerance, prefix);
              for (const [key, leaf] of leaves) {
                const gradient = reference.get(`${prefix}.grad.${key}`);
                if (gradient !== undefined) {
                  assertNear(leaf.grad, gradient, tolerance, `${prefix}.${key}`);
                }
              }
            });
          }
        }
      });
    }
  });
}
