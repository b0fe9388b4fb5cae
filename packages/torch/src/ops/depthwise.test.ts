import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { autocast, grad } from '../autograd.js';
import type { DType } from '../dtype.js';
import { Generator } from '../random.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { mul } from './arithmetic.js';
import { conv2d, depthwiseConv2d } from './conv.js';
import { randn } from './random.js';
import { sum } from './reduce.js';
import { contiguous, permute, to } from './shape.js';

type Conv = (x: Tensor, weight: Tensor, bias: Tensor) => Tensor;

const plain: Conv = (x, weight, bias) =>
  conv2d(x, weight, { bias, padding: (weight.dim(2) - 1) / 2, groups: x.dim(1) });

interface Case {
  batch: number;
  channels: number;
  height: number;
  width: number;
  kernel: number;
  dtype?: DType;
  channelsFirst?: boolean;
}

/** Output and the gradients of input, weight and bias, of one draw for each case. */
function run(conv: Conv, { batch, channels, height, width, kernel, ...rest }: Case): number[][] {
  const { dtype = 'float32', channelsFirst = false } = rest;
  return scope(() => {
    const generator = new Generator({ seed: 1 });
    const leaf = (shape: readonly number[]) => {
      const made = to(randn(shape, generator), { dtype });
      made.requiresGrad = true;
      return made;
    };
    const last = leaf([batch, height, width, channels]);
    const weight = leaf([channels, 1, kernel, kernel]);
    const bias = leaf([channels]);
    const first = permute(last, [0, 3, 1, 2]);
    const y = conv(channelsFirst ? contiguous(first) : first, weight, bias);
    sum(mul(y, to(randn(y.shape, generator), { dtype }))).backward();
    return [y, last.grad, weight.grad, bias.grad].map((tensor) => tensor?.toArray() ?? []);
  });
}

function assertNear(actual: number[][], expected: number[][], tolerance: number): void {
  expected.forEach((values, i) => {
    const error = Math.hypot(...values.map((value, k) => value - at(at(actual, i), k)));
    assert.ok(error <= tolerance * Math.hypot(...values), `${i}: ${error}`);
  });
}

describe('depthwiseConv2d', () => {
  const cases: readonly Case[] = [
    { batch: 3, channels: 5, height: 6, width: 9, kernel: 7 },
    { batch: 2, channels: 16, height: 4, width: 4, kernel: 3 },
    { batch: 4, channels: 37, height: 8, width: 7, kernel: 5, channelsFirst: true },
    { batch: 2, channels: 20, height: 2, width: 1, kernel: 7 },
    { batch: 1, channels: 3, height: 5, width: 5, kernel: 9 },
    { batch: 2, channels: 3, height: 5, width: 4, kernel: 3, dtype: 'float64' },
  ];
  for (const example of cases) {
    it(`equals a grouped convolution with its gradients: ${JSON.stringify(example)}`, () => {
      assertNear(run(depthwiseConv2d, example), run(plain, example), 1e-6);
    });
  }

  it('has gradients in bfloat16 that are near to those in float32', () => {
    const example = { batch: 3, channels: 21, height: 9, width: 8, kernel: 7 };
    const exact = run(depthwiseConv2d, example);
    assertNear(run(depthwiseConv2d, { ...example, dtype: 'bfloat16' }), exact, 0.01);
    const cast: Conv = (...tensors) => autocast('bfloat16', () => depthwiseConv2d(...tensors));
    assertNear(run(cast, example), exact, 0.01);
  });

  it('computes in bfloat16 under autocast', () => {
    scope(() => {
      const [x, weight] = [
        [1, 2, 5, 5],
        [2, 1, 3, 3],
      ].map((s) => randn(s, new Generator()));
      assert.ok(x && weight);
      assert.equal(autocast('bfloat16', () => depthwiseConv2d(x, weight)).dtype, 'bfloat16');
      assert.equal(depthwiseConv2d(x, weight).dtype, 'float32');
    });
  });

  it('has second derivatives', () => {
    const second = (conv: Conv): number[][] =>
      scope(() => {
        const generator = new Generator({ seed: 1 });
        const [x, weight, bias] = [[2, 3, 4, 4], [3, 1, 3, 3], [3]].map((shape) => {
          const leaf = randn(shape, generator);
          leaf.requiresGrad = true;
          return leaf;
        }) as [Tensor, Tensor, Tensor];
        const y = conv(x, weight, bias);
        const [dx] = grad([sum(mul(y, y))], [x], { createGraph: true }) as [Tensor];
        return grad([sum(mul(dx, dx))], [x, weight, bias]).map((tensor) => tensor?.toArray() ?? []);
      });
    assertNear(second(depthwiseConv2d), second(plain), 1e-6);
  });
});
