import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { abs, add, sub } from '../ops/arithmetic.js';
import { copy_ } from '../ops/in-place.js';
import { conv2d } from '../ops/conv.js';
import { rand, randn } from '../ops/random.js';
import { max } from '../ops/reduce.js';
import { noGrad } from '../autograd.js';
import { Generator } from '../random.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { Conv2d } from './conv.js';
import { foldBatchNorm } from './inference.js';
import { Module } from './module.js';
import { BatchNorm2d } from './norm.js';

const generator = new Generator({ seed: 1 });

/** A batch norm that does something. */
function batchNorm(channels: number): BatchNorm2d {
  const norm = new BatchNorm2d({ channels });
  noGrad(() => {
    scope(() => {
      for (const value of [norm.weight, norm.bias, norm.runningMean]) {
        copy_(value, randn(value.shape, generator));
      }
      copy_(norm.runningVar, add(rand([channels], generator), 0.1));
    });
  });
  return norm;
}

/** Convolution and batch norm, which merge. */
class Pair extends Module {
  conv: Conv2d;
  bn: BatchNorm2d | null;

  constructor({ bias, fused }: { bias: boolean; fused: boolean }) {
    super();
    const sizes = { inChannels: 4, outChannels: 6, kernel: 3, groups: 2, padding: 1 };
    this.conv = new Conv2d({ ...sizes, bias: bias || fused, generator });
    this.bn = fused ? null : batchNorm(6);
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.forward(x);
    return this.bn === null ? y : this.bn.forward(y);
  }

  override fusedStateDict(): Map<string, Tensor> {
    if (this.bn === null) return super.fusedStateDict();
    const { weight, bias } = foldBatchNorm(this.conv.weight, this.conv.bias, this.bn);
    return new Map([
      ['conv.weight', weight],
      ['conv.bias', bias],
    ]);
  }
}

class Net extends Module {
  layers: Pair[];
  last: Conv2d;

  constructor({ fused }: { fused: boolean }) {
    super();
    this.layers = [true, false].map((bias) => new Pair({ bias, fused }));
    this.last = new Conv2d({ inChannels: 6, outChannels: 2, kernel: 1, generator });
  }

  protected override get hoisted(): readonly string[] {
    return ['last'];
  }

  forward(x: Tensor): Tensor[] {
    return this.layers.map((layer) => this.last.forward(layer.forward(x)));
  }
}

describe('foldBatchNorm', () => {
  for (const bias of [null, randn([6], generator)]) {
    it(`computes convolution and batch norm, ${bias === null ? 'without' : 'with'} bias`, () => {
      scope(() => {
        const weight = randn([6, 4, 3, 3], generator);
        const norm = batchNorm(6);
        norm.eval();
        const x = randn([2, 4, 5, 5], generator);
        const folded = foldBatchNorm(weight, bias, norm);
        const expected = norm.forward(conv2d(x, weight, { bias }));
        const actual = conv2d(x, folded.weight, { bias: folded.bias });
        assert.ok(max(abs(sub(actual, expected))).item() < 1e-5);
        assert.equal(folded.weight.requiresGrad, false);
      });
    });
  }
});

describe('Module.fusedStateDict', () => {
  it('fits the shorter module, which then computes the same', () => {
    scope(() => {
      const net = new Net({ fused: false });
      const short = new Net({ fused: true });
      const state = net.fusedStateDict();
      assert.deepEqual([...state.keys()].sort(), [...short.stateDict().keys()].sort());
      short.loadStateDict(state);
      const x = randn([2, 4, 5, 5], generator);
      const expected = net.eval().forward(x);
      short.forward(x).forEach((actual, i) => {
        assert.ok(max(abs(sub(actual, expected[i] ?? assert.fail()))).item() < 1e-5);
      });
    });
  });

  it('is the state dict of a module without batch norms to fuse', () => {
    const conv = new Conv2d({ inChannels: 2, outChannels: 3, kernel: 1, generator });
    assert.deepEqual(conv.fusedStateDict(), conv.stateDict());
  });
});
