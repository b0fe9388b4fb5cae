import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noGrad } from '../autograd.js';
import { abs, add, sub } from '../ops/arithmetic.js';
import { copy_ } from '../ops/in-place.js';
import { linear } from '../ops/matrix.js';
import { linearPacked } from '../ops/packed.js';
import { rand, randn } from '../ops/random.js';
import { max } from '../ops/reduce.js';
import { channelsLast, clone } from '../ops/shape.js';
import { Generator } from '../random.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { Conv2d } from './conv.js';
import { Linear } from './linear.js';
import { narrowWeights } from './inference.js';
import { BatchNorm2d } from './norm.js';
import { normedConv, packConvolution, packLinears } from './inference.js';
import { PackedWeight } from './inference-weights.js';

const generator = new Generator({ seed: 1 });

function difference(a: Tensor, b: Tensor): number {
  return max(abs(sub(a, b))).item();
}

/** A batch norm that does something. */
function batchNorm(channels: number): BatchNorm2d {
  const norm = new BatchNorm2d({ channels }).eval();
  for (const value of [norm.weight, norm.bias, norm.runningMean]) {
    copy_(value, randn(value.shape, generator));
  }
  copy_(norm.runningVar, add(rand([channels], generator), 0.1));
  return norm;
}

describe('packConvolution', () => {
  for (const bias of [false, true]) {
    it(`merges the batch norm into a convolution ${bias ? 'with' : 'without'} bias`, () => {
      noGrad(() => {
        scope(() => {
          const conv = new Conv2d({ inChannels: 4, outChannels: 6, kernel: 3, bias, generator });
          const norm = batchNorm(6);
          const x = channelsLast(randn([2, 4, 7, 7], generator));
          const shortcut = channelsLast(randn([2, 6, 5, 5], generator));
          const run = () => [
            normedConv(x, [conv, norm]),
            normedConv(x, [conv, norm], { relu: true }),
            normedConv(x, [conv, norm], { residual: clone(shortcut), relu: true }),
          ];
          const expected = run();
          packConvolution(conv, { dtype: 'float32', norm });
          run().forEach((actual, i) => {
            assert.ok(difference(actual, expected[i] ?? assert.fail()) < 1e-5);
          });
        });
      });
    });
  }

  it('is neither saved nor narrowed', () => {
    const conv = new Conv2d({ inChannels: 3, outChannels: 2, kernel: 1, generator });
    packConvolution(conv, { dtype: 'float32' });
    assert.throws(() => conv.stateDict(), /'weight' is packed, which is made for inference/);
    assert.throws(() => conv.fusedStateDict(), /'weight' is packed/);
    narrowWeights(conv, 'bfloat16');
    assert.ok(conv.weight instanceof PackedWeight);
  });
});

describe('packLinears', () => {
  it('keeps what layers compute', () => {
    noGrad(() => {
      scope(() => {
        const layer = new Linear({ inFeatures: 9, outFeatures: 5, generator });
        const x = randn([3, 9], generator);
        const expected = linear(x, layer.weight, layer.bias);
        packLinears([layer], 'float32');
        const { weight, bias } = layer;
        assert.ok(weight instanceof PackedWeight);
        const actual = linearPacked(x, { weight: weight.packed, bias });
        assert.ok(difference(actual, expected) < 1e-6);
      });
    });
  });
});
