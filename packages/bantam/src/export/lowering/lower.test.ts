import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  add,
  BatchNorm2d,
  Conv2d,
  log,
  matmul,
  onDevice,
  reshape,
  tensor,
  transpose,
  zeros,
  type Module,
  type Tensor,
} from '@bantam/torch';
import { Graph } from '../onnx/graph.js';
import { recordProgram } from '../record/program.js';
import { requireOneArray } from './graph-values.js';
import { lower } from './lower.js';

const points = [2, 3, 5].map((batch) => ({ batch, tokens: 0 }));

/** The graph of a function of x [B, …]. */
function graphOf(
  shape: readonly number[],
  run: (x: Tensor, weights: ReadonlyMap<string, Tensor>) => Tensor,
  weights: ReadonlyMap<string, Tensor> = new Map(),
): Graph {
  const shapes = onDevice(
    'meta',
    () => new Map([...weights].map(([name, { shape }]) => [name, zeros(shape)])),
  );
  const program = onDevice('meta', () =>
    recordProgram(
      {
        weights: shapes,
        input: ({ batch }) => zeros([batch, ...shape]),
        run: (x) => run(x, shapes),
      },
      points,
    ),
  );
  const graph = new Graph();
  const input = graph.input({ name: 'x', type: 'float32', shape: ['batch', ...shape] });
  const output = lower({ graph, program, weights, input, prefix: '' });
  graph.output(output, { name: 'y', type: 'float32', shape: [] });
  return graph;
}

const operators = ({ nodes }: Graph) => nodes.map(({ op }) => op);

const weight = (weights: ReadonlyMap<string, Tensor>, name: string): Tensor =>
  weights.get(name) ?? assert.fail();

describe('lower', () => {
  it('names an operator that has no translation', () => {
    assert.throws(() => graphOf([3], (x) => log(x)), {
      name: 'BantamError',
      message: /computes with aten::log, which has no translation to ONNX/,
    });
  });

  it('computes what depends on weights alone', () => {
    const weights = new Map([['w', tensor([[1, 2, 3]])]]);
    const graph = graphOf(
      [3],
      (x, named) => matmul(x, transpose(add(weight(named, 'w'), 1), 0, 1)),
      weights,
    );
    assert.deepEqual(operators(graph), ['MatMul', 'Identity']);
    const constant = graph.constants.get('w') ?? assert.fail();
    assert.deepEqual(constant.shape, [3, 1]);
    assert.deepEqual(new Float32Array(constant.bytes.slice().buffer), Float32Array.of(2, 3, 4));
  });

  it('writes shapes without the batch', () => {
    const graph = graphOf([4, 6], (x) => reshape(x, [x.dim(0) * 4, 2, 3]));
    assert.deepEqual(operators(graph), ['Reshape', 'Identity']);
    const sizes = graph.constants.get('sizes') ?? assert.fail();
    assert.deepEqual([...new BigInt64Array(sizes.bytes.slice().buffer)], [-1n, 2n, 3n]);
  });

  it('merges a batch norm into the convolution before it, and only there', () => {
    const build = (): { conv: Conv2d; norm: BatchNorm2d } => {
      const conv = new Conv2d({ inChannels: 2, outChannels: 4, kernel: 3, generator: null });
      return { conv, norm: new BatchNorm2d({ channels: 4 }).eval() };
    };
    const { conv, norm } = build();
    const named = (modules: Record<string, Module>) =>
      new Map(
        Object.entries(modules).flatMap(([name, module]) =>
          [...module.stateDict()].map(([key, value]): [string, Tensor] => [
            `${name}.${key}`,
            value,
          ]),
        ),
      );
    const run = (twice: boolean) => (x: Tensor, weights: ReadonlyMap<string, Tensor>) => {
      const parts = onDevice('meta', build);
      Object.assign(parts.conv, {
        weight: weight(weights, 'conv.weight'),
        bias: weight(weights, 'conv.bias'),
      });
      Object.assign(parts.norm, {
        weight: weight(weights, 'norm.weight'),
        bias: weight(weights, 'norm.bias'),
        runningMean: weight(weights, 'norm.running_mean'),
        runningVar: weight(weights, 'norm.running_var'),
      });
      const y = parts.conv.forward(x);
      const normed = parts.norm.forward(y, { relu: true });
      return twice ? add(normed, y) : normed;
    };
    const weights = named({ conv, norm });
    assert.deepEqual(operators(graphOf([2, 5, 5], run(false), weights)), [
      'Conv',
      'Relu',
      'Identity',
    ]);
    assert.deepEqual(operators(graphOf([2, 5, 5], run(true), weights)), [
      'Conv',
      'Mul',
      'Add',
      'Relu',
      'Add',
      'Identity',
    ]);
  });

  it('refuses a size that is no product of batch and text length', () => {
    assert.throws(
      () => graphOf([3], (x) => add(x, reshape(zeros([x.dim(0) ** 2]), [-1, x.dim(0)]).dim(0))),
      {
        name: 'BantamError',
        message: /cannot be exported/,
      },
    );
    assert.throws(() => graphOf([3], (x) => (x.dim(0) > 2 ? add(x, 1) : x)), {
      name: 'BantamError',
      message: /other operators for other batches/,
    });
    assert.throws(() => graphOf([3], (x) => add(x, tensor([x.dim(0)]))), {
      name: 'BantamError',
      message: /numbers depend on the batch/,
    });
  });
});

describe('requireOneArray', () => {
  it('names a tensor that an array cannot hold, and what can', () => {
    requireOneArray('text.embedding', 4e9, 4e9);
    assert.throws(() => {
      requireOneArray('text.embedding', 4_616_340_480, 2 ** 32);
    }, /text\.embedding has 4\.6 GB, .* holds 4\.3 GB; export with Node\.js 22\.3 or newer/);
  });
});
