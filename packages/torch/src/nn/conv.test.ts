import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { autocast } from '../autograd.js';
import { equal } from '../ops/compare.js';
import { conv2d } from '../ops/conv.js';
import { randn } from '../ops/random.js';
import { sum } from '../ops/reduce.js';
import { channelsLast, to } from '../ops/shape.js';
import { Generator } from '../random.js';
import { scope } from '../scope.js';
import { Conv2d } from './conv.js';

describe('Conv2d', () => {
  const generator = new Generator({ seed: 1 });
  const sizes = { inChannels: 4, outChannels: 8, kernel: 3, stride: 2, padding: 1, generator };

  it('computes depthwise in float32 under autocast, gradients too', () => {
    scope(() => {
      const conv = new Conv2d({ ...sizes, groups: 4 });
      const x = randn([2, 4, 6, 6], generator);
      const run = () => {
        conv.zeroGrad();
        const y = conv.forward(x);
        sum(y).backward();
        return [y, conv.weight.grad ?? assert.fail(), conv.bias?.grad ?? assert.fail()];
      };
      const exact = run();
      autocast('bfloat16', run).forEach((actual, i) => {
        assert.ok(equal(actual, exact[i] ?? assert.fail()));
      });
      const half = autocast('bfloat16', () => conv.forward(to(x, { dtype: 'bfloat16' })));
      assert.equal(half.dtype, 'float32');
    });
  });

  it('computes in bfloat16 under autocast otherwise, and where its weights are', () => {
    scope(() => {
      const x = randn([2, 4, 6, 6], generator);
      for (const groups of [1, 2]) {
        const conv = new Conv2d({ ...sizes, groups });
        assert.equal(autocast('bfloat16', () => conv.forward(x)).dtype, 'bfloat16');
      }
      const half = new Conv2d({ ...sizes, groups: 4 }).to('bfloat16');
      assert.equal(half.forward(to(x, { dtype: 'bfloat16' })).dtype, 'bfloat16');
    });
  });

  it('gives the same for channels-last memory', () => {
    scope(() => {
      const x = randn([2, 4, 6, 6], generator);
      const conv = new Conv2d({ ...sizes, groups: 4 });
      const wanted = conv.forward(x).toArray();
      const found = conv.forward(channelsLast(x)).toArray();
      wanted.forEach((value, i) => {
        assert.ok(Math.abs(value - at(found, i)) < 1e-6);
      });
    });
  });

  it('computes 1×1 kernels with a stride as libtorch does', () => {
    scope(() => {
      const x = randn([2, 4, 7, 7], generator);
      for (const groups of [1, 4]) {
        const conv = new Conv2d({ ...sizes, groups, kernel: 1, padding: 0 });
        const { weight, bias } = conv;
        const expected = conv2d(x, weight, { bias, groups, stride: 2 }).toArray();
        conv
          .forward(channelsLast(x))
          .toArray()
          .forEach((value, i) => {
            assert.ok(Math.abs(value - at(expected, i)) < 1e-6);
          });
      }
    });
  });
});
