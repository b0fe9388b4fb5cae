import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  detach,
  full,
  loadSafetensors,
  log,
  narrow,
  pow,
  scope,
  select,
  to,
  type Tensor,
} from '@bantam/torch';
import { clipLoss, globalContrastiveLoss, sigLipLoss, simclrLoss } from '../dist/losses/index.js';
import { find } from './tower-fixture.js';

const path = new URL('../fixtures/losses.safetensors', import.meta.url);
const reference = loadSafetensors(fileURLToPath(path)).tensors;

interface Inputs {
  readonly image: Tensor;
  readonly text: Tensor;
  readonly scale: Tensor;
  readonly bias: Tensor;
}

const first = (name: string, n: number) => narrow(find(reference, name), 0, 0, n);

const losses: Readonly<Record<string, (inputs: Inputs, n: number, chunk?: number) => Tensor>> = {
  clip: ({ image, text, scale }, _, chunk) => clipLoss(image, text, scale, { chunk }),
  clip_groups: ({ image, text, scale }, n, chunk) =>
    clipLoss(image, text, scale, { groups: first('groups', n), chunk }),
  siglip: ({ image, text, scale: logitScale, bias: logitBias }, _, chunk) =>
    sigLipLoss(image, text, { logitScale, logitBias, chunk }),
  siglip_groups: ({ image, text, scale: logitScale, bias: logitBias }, n, chunk) =>
    sigLipLoss(image, text, { logitScale, logitBias, groups: first('groups', n), chunk }),
  simclr: ({ image, text }) => simclrLoss(image, text),
  global: ({ image, text, scale }, n) => {
    const logU = [0, 1].map((side) =>
      to(log(narrow(select(find(reference, 'u'), 0, side), 0, 0, n)), { dtype: image.dtype }),
    ) as [Tensor, Tensor];
    return globalContrastiveLoss(image, text, {
      logU,
      gamma: 0.3,
      temperature: pow(scale, -1),
      rho: 6.5,
    }).loss;
  },
};

function assertNear(actual: Tensor | null, expected: Tensor, tolerance: number, what: string) {
  const values = actual?.toArray() ?? [];
  expected.toArray().forEach((wanted, i) => {
    const error = Math.abs((values[i] ?? NaN) - wanted);
    assert.ok(error <= tolerance * Math.max(1, Math.abs(wanted)), `${what}[${i}]: off by ${error}`);
  });
}

for (const [name, loss] of Object.entries(losses)) {
  describe(`${name} loss`, () => {
    for (const [dtype, tolerance] of [
      ['float64', 1e-8],
      ['float32', 1e-5],
    ] as const) {
      it(`has the reference's values and gradients in ${dtype}`, () => {
        for (const n of name === 'global' ? [2, 7, 16] : [1, 2, 7, 16]) {
          for (const chunk of [undefined, 3]) {
            scope(() => {
              const inputs = {
                image: detach(to(first('image', n), { dtype })),
                text: detach(to(first('text', n), { dtype })),
                scale: full([], 5, { dtype }),
                bias: full([], -2, { dtype }),
              };
              for (const leaf of Object.values(inputs)) leaf.requiresGrad = true;
              const value = loss(inputs, n, chunk);
              value.backward();
              const prefix = `${name}.${n}`;
              assertNear(value, find(reference, `${prefix}.value`), tolerance, prefix);
              for (const [key, leaf] of Object.entries(inputs)) {
                const gradient = reference.get(`${prefix}.grad.${key}`);
                if (gradient !== undefined)
                  assertNear(leaf.grad, gradient, tolerance, `${prefix}.${key}`);
              }
            });
          }
        }
      });
    }
  });
}
