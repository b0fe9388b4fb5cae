import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertGradients, difference } from '../fixture.test.helper.js';
import {
  add,
  autocast,
  avgPool2d,
  batchNorm,
  batchNormOverParts,
  channelsLast,
  clone,
  contiguous,
  conv2d,
  dropNormed,
  full,
  Generator,
  grad,
  memoryStats,
  mul,
  noGrad,
  ones,
  Operator,
  rand,
  randn,
  relu,
  resetPeakBytes,
  scope,
  sum,
  to,
  zeros,
  type BatchNormOptions,
  type FloatDType,
  type Tensor,
} from '../index.js';

const composedOp = new Operator('aten::batch_norm');

/** The same by libtorch's operators, one by one. */
function composed(x: Tensor, options: BatchNormOptions): Tensor {
  const { weight, bias, runningMean, runningVar, training, residual = null } = options;
  let y = composedOp.tensor(x, weight, bias, runningMean, runningVar, training, 0.1, 1e-5, true);
  if (residual !== null) y = add(y, residual);
  return options.relu === true ? relu(y) : y;
}

// An odd number of channels, and rows for several blocks of the sums and for two threads.
const channels = 3;
const shape = [8, channels, 64, 64];
const generator = new Generator({ seed: 4 });
const values = {
  // Far from zero, where a careless variance would lose its digits.
  x: add(randn(shape, generator), 30),
  residual: randn(shape, generator),
  weight: randn([channels], generator),
  bias: randn([channels], generator),
  runningMean: add(randn([channels], generator), 30),
  runningVar: add(rand([channels], generator), 0.5),
  upstream: randn(shape, generator),
};

interface Case {
  dtype: FloatDType;
  training: boolean;
  withResidual: boolean;
  relu: boolean;
}

/** The result, the running statistics after it, and all gradients. */
function run(
  f: typeof batchNorm,
  { dtype, training, withResidual, relu }: Case,
  { double = false } = {},
): Tensor[] {
  const map = (x: Tensor) => {
    const rounded = to(x, { dtype });
    const made = channelsLast(double ? to(rounded, { dtype: 'float64' }) : rounded);
    const copy = mul(made, 1);
    copy.requiresGrad = true;
    return copy;
  };
  const vector = (x: Tensor, learnt: boolean) => {
    const copy = mul(to(x, { dtype: double ? 'float64' : 'float32' }), 1);
    copy.requiresGrad = learnt;
    return copy;
  };
  const [x, residual] = [map(values.x), withResidual ? map(values.residual) : null];
  const [weight, bias] = [vector(values.weight, true), vector(values.bias, true)];
  const runningMean = vector(values.runningMean, false);
  const runningVar = vector(values.runningVar, false);
  const y = f(x, { weight, bias, runningMean, runningVar, training, residual, relu });
  y.backward({ grad: to(to(values.upstream, { dtype }), { dtype: y.dtype }) });
  const leaves = [x, weight, bias, ...(residual === null ? [] : [residual])];
  return [y, runningMean, runningVar, ...leaves.map(({ grad }) => grad ?? assert.fail())];
}

function largest(x: Tensor): number {
  return x.toArray().reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

describe('batchNorm, the kernel of our own', () => {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    for (const training of [true, false]) {
      for (const withResidual of [true, false]) {
        for (const relu of [true, false]) {
          const ends = `${withResidual ? ' + residual' : ''}${relu ? ', relu' : ''}`;
          it(`equals float64 in ${dtype}, ${training ? 'training' : 'evaluation'}${ends}`, () => {
            scope(() => {
              const example = { dtype, training, withResidual, relu };
              const wanted = run(composed, example, { double: true });
              const names = ['y', 'mean', 'variance', '∂x', '∂weight', '∂bias', '∂residual'];
              for (const [i, value] of run(batchNorm, example).entries()) {
                const goal = wanted[i] ?? assert.fail();
                const error = difference(value, goal) / largest(goal);
                assert.ok(error < (dtype === 'float32' ? 1e-5 : 1e-2), `${names[i]}: ${error}`);
              }
            });
          });
        }
      }
    }
  }

  const statistics = () => ({
    weight: ones([channels]),
    bias: zeros([channels]),
    runningMean: zeros([channels]),
    runningVar: ones([channels]),
  });

  it('makes no map but its result', () => {
    scope(() => {
      const [x, residual] = [channelsLast(values.x), channelsLast(values.residual)];
      const options = { ...statistics(), training: true, residual, relu: true };
      const grown = (f: typeof batchNorm) =>
        noGrad(() => {
          resetPeakBytes();
          const { liveBytes } = memoryStats();
          f(x, options);
          return memoryStats().peakBytes - liveBytes;
        });
      const bytes = 4 * x.size;
      assert.ok(grown(batchNorm) < 1.1 * bytes);
      assert.ok(grown(composed) > 1.9 * bytes);
    });
  });

  it('takes other arrangements and types by operators one by one', () => {
    scope(() => {
      const options = { ...statistics(), training: true, relu: true };
      const fast = batchNorm(channelsLast(values.x), options);
      assert.ok(difference(batchNorm(contiguous(values.x), options), fast) < 1e-4);
    });
  });

  it('has the gradient of finite differences', () => {
    const make = (shape: number[]) => randn(shape, generator, { dtype: 'float64' });
    const [x, residual, weight, bias] = [
      make([3, 2, 2, 2]),
      make([3, 2, 2, 2]),
      make([2]),
      make([2]),
    ];
    const upstream = make([3, 2, 2, 2]);
    const runningMean = zeros([2], { dtype: 'float64' });
    const runningVar = ones([2], { dtype: 'float64' });
    const options = { weight, bias, runningMean, runningVar, residual, training: true };
    assertGradients(() => sum(mul(batchNorm(x, options), upstream)), [x, weight, bias, residual]);
  });

  it('passes NaN on, also through relu', () => {
    scope(() => {
      const x = channelsLast(full([2, channels, 3, 3], NaN));
      x.requiresGrad = true;
      const y = batchNorm(x, { ...statistics(), training: false, relu: true });
      sum(y).backward();
      assert.ok(y.toArray().every(Number.isNaN));
      const trained = batchNorm(x, { ...statistics(), training: true, relu: true });
      assert.ok(trained.toArray().every(Number.isNaN));
    });
  });
});

describe('batchNormOverParts', () => {
  /** One part is the whole. */
  const alone: typeof batchNorm = (x, options) =>
    batchNormOverParts(x, { ...options, sumOver: (sums) => sums });

  for (const dtype of ['float32', 'bfloat16'] as const) {
    it(`equals float64 in ${dtype} for a batch that is one part`, () => {
      scope(() => {
        const example = { dtype, training: true, withResidual: true, relu: true };
        const wanted = run(composed, example, { double: true });
        for (const [i, value] of run(alone, example).entries()) {
          const goal = wanted[i] ?? assert.fail();
          const error = difference(value, goal) / largest(goal);
          assert.ok(error < (dtype === 'float32' ? 1e-5 : 1e-2), `${i}: ${error}`);
        }
      });
    });
  }
});

describe('dropNormed', () => {
  const weights = {
    scale: randn([8], generator),
    first: randn([8, 8, 1, 1], generator),
    second: randn([8, 8, 3, 3], generator),
  };
  const x = channelsLast(randn([4, 8, 64, 64], generator));

  /** Gradients of two convolutions with batch norms between, and bytes that autograd holds for them. */
  function pass(dtype: FloatDType, drops: boolean): { gradients: number[][]; held: number } {
    return scope(() => {
      const leaves = [x, weights.scale, weights.first, weights.second].map((value) => {
        const leaf = clone(value);
        leaf.requiresGrad = true;
        return leaf;
      }) as [Tensor, Tensor, Tensor, Tensor];
      const [input, scale, first, second] = leaves;
      const norm = (y: Tensor): Tensor =>
        batchNorm(y, {
          ...{ weight: scale, bias: zeros([8]), runningMean: zeros([8]), runningVar: ones([8]) },
          ...{ training: true, relu: true },
        });
      const before = memoryStats().liveBytes;
      const y = scope(() =>
        autocast(dtype, () => {
          const normed = norm(conv2d(input, first));
          const made = conv2d(normed, second, { padding: 1 });
          if (drops) assert.equal(dropNormed(made, normed), true);
          const other = norm(made);
          const pooled = avgPool2d(other, { kernel: 2 });
          if (drops) assert.equal(dropNormed(pooled, other), true);
          return sum(mul(pooled, pooled));
        }),
      );
      const held = memoryStats().liveBytes - before;
      const gradients = grad([y], leaves).map((each) => (each ?? assert.fail()).toArray());
      return { gradients, held };
    });
  }

  for (const dtype of ['float32', 'bfloat16'] as const) {
    it(`keeps two maps less and gives the same bits in ${dtype}`, () => {
      const [kept, dropped] = [pass(dtype, false), pass(dtype, true)];
      assert.deepEqual(dropped.gradients, kept.gradients);
      const map = x.size * (dtype === 'float32' ? 4 : 2);
      assert.ok(kept.held - dropped.held >= 2 * map, `${kept.held - dropped.held} of ${map} bytes`);
    });
  }

  it('is for results of batch norms without a residual that the gradient keeps', () => {
    scope(() => {
      const weight = clone(weights.first);
      weight.requiresGrad = true;
      const options = {
        ...{ weight: weights.scale, bias: zeros([8]), runningMean: zeros([8]) },
        ...{ runningVar: ones([8]), training: true },
      };
      const input = conv2d(x, weight);
      const normed = batchNorm(input, { ...options, residual: x });
      assert.equal(dropNormed(conv2d(normed, weight), normed), false);
      assert.equal(dropNormed(conv2d(input, weight), input), false);
      assert.equal(dropNormed(relu(batchNorm(input, options)), batchNorm(input, options)), false);
      assert.equal(
        noGrad(() => dropNormed(conv2d(x, weight), x)),
        false,
      );
    });
  });
});
