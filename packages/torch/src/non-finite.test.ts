/**
 * A run that breaks must be seen to: a NaN or an infinity in any input of a kernel of ours is in its result
 * and gradients where the plain operators have it, and the numbers beside it are theirs. `npm test` runs
 * this at every instruction level of the CPU.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  activations,
  add,
  batchNorm,
  cat,
  channelsLast,
  conv2d,
  depthwiseConv2d,
  div,
  fusedConv,
  Generator,
  gt,
  hasAvx512Bf16,
  instructionLevel,
  linear,
  linearInt8,
  linearPacked,
  matmul,
  mlpInt8,
  mlpPacked,
  mul,
  narrow,
  ones,
  Operator,
  packInt8,
  packLinear,
  packRows,
  permute,
  quantizeRows,
  quickGelu,
  randn,
  relu,
  reshape,
  sigmoid,
  softmax,
  sub,
  to,
  transpose,
  unpackRows,
  where,
  zeros,
  type Activation,
  type Tensor,
} from './index.js';
import { activationCode } from './nn/activation.js';
import { seenNonFinite, type Inputs, type Twins } from './non-finite.test.helper.js';

const generator = new Generator({ seed: 7 });
const mlpOp = new Operator('bantam::mlp');
const layerNormOp = new Operator('bantam::layer_norm');
const composedLayerNormOp = new Operator('aten::layer_norm');
const attentionOp = new Operator('bantam::attention');
const normalizePixelsOp = new Operator('bantam::normalize_pixels');
const padOp = new Operator('aten::constant_pad_nd');

/** Numbers that bfloat16 holds. */
function draw(shape: readonly number[], scale = 1): Tensor {
  return to(to(mul(randn(shape, generator), scale), { dtype: 'bfloat16' }), { dtype: 'float32' });
}

function of(inputs: Inputs, name: string): Tensor {
  return inputs[name] ?? assert.fail(name);
}

const types = ['float32', 'bfloat16'] as const;
const tolerances = { float32: 2e-5, bfloat16: 0.03 };

/** Attention [1, L, W] of separate q, k and v by libtorch; each query with `seen` keys alone. */
function attendTo(inputs: Inputs, heads: number, seen: (query: number) => number): Tensor {
  const length = of(inputs, 'q').dim(1);
  const split = (x: Tensor): Tensor =>
    transpose(reshape(x, [1, x.dim(1), heads, x.dim(2) / heads]), 1, 2);
  const rows = Array.from({ length }, (_, i) => {
    const q = split(narrow(of(inputs, 'q'), 1, i, 1));
    const [k, v] = ['k', 'v'].map((name) => split(narrow(of(inputs, name), 1, 0, seen(i)))) as [
      Tensor,
      Tensor,
    ];
    const shares = softmax(mul(matmul(q, transpose(k, -2, -1)), 1 / Math.sqrt(q.dim(3))), -1);
    return reshape(transpose(matmul(shares, v), 1, 2), [1, 1, of(inputs, 'q').dim(2)]);
  });
  return cat(rows, 1);
}

function attention(length: number, causal: boolean): Twins {
  const [heads, width] = [2, 64];
  const joint = (inputs: Inputs): Tensor =>
    cat([of(inputs, 'q'), of(inputs, 'k'), of(inputs, 'v')], 2);
  const inputs = {
    q: draw([1, length, width]),
    k: draw([1, length, width]),
    v: draw([1, length, width]),
  };
  return {
    inputs,
    dtype: 'bfloat16',
    kernel: (leaves) => attentionOp.tensor(joint(leaves), heads, causal),
    plain: (leaves) => attentionOp.tensor(joint(leaves), heads, causal),
    ...(causal ? { exact: (leaves: Inputs) => attendTo(leaves, heads, (query) => query + 1) } : {}),
    upstream: draw([1, length, width]),
    tolerance: 0.03,
  };
}

function mlp(activation: Activation, dtype: 'float32' | 'bfloat16'): Twins {
  const [rows, width, hidden] = [37, 34, 70];
  const act = activations[activation];
  const plainAct =
    activation === 'quick-gelu' ? (x: Tensor) => mul(x, sigmoid(mul(x, 1.702))) : act;
  const layer = (x: Tensor, i: Inputs, n: number): Tensor =>
    linearPlain(x, of(i, `w${n}`), of(i, `b${n}`));
  return {
    inputs: {
      x: draw([rows, width]),
      w1: draw([hidden, width], 0.2),
      b1: draw([hidden]),
      w2: draw([width, hidden], 0.1),
      b2: draw([width]),
      residual: draw([rows, width]),
    },
    dtype,
    kernel: (i) =>
      mlpOp.tensor(
        ...(['x', 'w1', 'b1', 'w2', 'b2', 'residual'] as const).map((name) => of(i, name)),
        activationCode[activation],
      ),
    plain: (i) => add(of(i, 'residual'), layer(plainAct(layer(of(i, 'x'), i, 1)), i, 2)),
    upstream: draw([rows, width]),
    tolerance: tolerances[dtype],
  };
}

const linearPlainOp = new Operator('aten::linear');
function linearPlain(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  return linearPlainOp.tensor(x, weight, bias);
}

function linearTwins(dtype: 'float32' | 'bfloat16'): Twins {
  const [rows, width, outputs] = [45, 70, 40];
  return {
    inputs: {
      x: draw([rows, width]),
      w: draw([outputs, width], 0.1),
      b: draw([outputs]),
      residual: draw([rows, outputs]),
    },
    dtype,
    kernel: (i) => linear(of(i, 'x'), of(i, 'w'), of(i, 'b'), { residual: of(i, 'residual') }),
    plain: (i) => add(of(i, 'residual'), linearPlain(of(i, 'x'), of(i, 'w'), of(i, 'b'))),
    upstream: draw([rows, outputs]),
    tolerance: tolerances[dtype],
  };
}

function layerNormTwins(dtype: 'float32' | 'bfloat16'): Twins {
  const [rows, width] = [70, 45];
  return {
    inputs: { x: draw([rows, width]), w: draw([width]), b: draw([width]) },
    dtype,
    wide: ['w', 'b'],
    // The second result, x itself, takes a gradient too.
    kernel: (i) => {
      const [y, x] = layerNormOp.tensors(of(i, 'x'), of(i, 'w'), of(i, 'b'), 1e-5) as [
        Tensor,
        Tensor,
      ];
      return add(y, x);
    },
    plain: (i) => {
      const [weight, bias] = [of(i, 'w'), of(i, 'b')];
      return add(
        composedLayerNormOp.tensor(of(i, 'x'), [width], weight, bias, 1e-5, false),
        of(i, 'x'),
      );
    },
    upstream: draw([rows, width]),
    tolerance: tolerances[dtype],
  };
}

function batchNormTwins(
  dtype: 'float32' | 'bfloat16',
  training: boolean,
  followed: boolean,
): Twins {
  const [batch, channels] = [3, 18];
  const shape = [batch, channels, 5, 4];
  const options = (i: Inputs) => ({
    weight: of(i, 'w'),
    bias: of(i, 'b'),
    runningMean: zeros([channels]),
    runningVar: ones([channels]),
    training,
  });
  return {
    inputs: {
      x: draw(shape),
      w: draw([channels]),
      b: draw([channels]),
      ...(followed ? { residual: draw(shape) } : {}),
    },
    dtype,
    wide: ['w', 'b'],
    kernel: (i) =>
      batchNorm(channelsLast(of(i, 'x')), {
        ...options(i),
        ...(followed ? { residual: channelsLast(of(i, 'residual')), relu: true } : {}),
      }),
    // Channels first: libtorch's operators one by one.
    plain: (i) => {
      const y = batchNorm(of(i, 'x'), options(i));
      return followed ? relu(add(y, of(i, 'residual'))) : y;
    },
    upstream: draw(shape),
    tolerance: tolerances[dtype],
  };
}

/** The sum over the kernel's weights of x shifted by their offsets, each of its own part of the map alone. */
function depthwiseByOffsets(i: Inputs, kernel: number): Tensor {
  const x = of(i, 'x');
  const around = (kernel - 1) / 2;
  const offsets = Array.from({ length: kernel }, (_, place) => place - around);
  const terms = offsets.flatMap((down, row) =>
    offsets.map((right, column) => {
      const part = [down, right].reduce(
        (y, by, side) => narrow(y, 2 + side, Math.max(by, 0), x.dim(2 + side) - Math.abs(by)),
        x,
      );
      const weight = narrow(narrow(of(i, 'w'), 2, row, 1), 3, column, 1);
      const geometry = [right, down].flatMap((by) => [Math.max(-by, 0), Math.max(by, 0)]);
      return padOp.tensor(mul(part, reshape(weight, [1, x.dim(1), 1, 1])), geometry, 0);
    }),
  );
  return terms.reduce((sum, term) => add(sum, term), reshape(of(i, 'b'), [1, x.dim(1), 1, 1]));
}

/** True if convolutions of a dtype have neither kernels of ours nor instructions that libtorch's take. */
function isLeftToLibtorch(dtype: 'float32' | 'bfloat16'): boolean {
  return dtype === 'bfloat16' && !hasAvx512Bf16();
}

function depthwise(dtype: 'float32' | 'bfloat16', kernel: number): Twins {
  const [batch, channels] = [2, 21];
  const shape = [batch, channels, 8, 9];
  return {
    inputs: { x: draw(shape), w: draw([channels, 1, kernel, kernel], 0.3), b: draw([channels]) },
    dtype,
    kernel: (i) => depthwiseConv2d(channelsLast(of(i, 'x')), of(i, 'w'), of(i, 'b')),
    plain: (i) =>
      conv2d(of(i, 'x'), of(i, 'w'), {
        bias: of(i, 'b'),
        padding: (kernel - 1) / 2,
        groups: channels,
      }),
    exact: (i) => depthwiseByOffsets(i, kernel),
    spreads: isLeftToLibtorch(dtype),
    upstream: draw(shape),
    tolerance: tolerances[dtype],
  };
}

function fusedConvTwins(dtype: 'float32' | 'bfloat16', added: boolean): Twins {
  const geometry = { stride: 1, padding: 1, dilation: 1, groups: 1 };
  const convolve = (i: Inputs): Tensor => {
    const y = conv2d(of(i, 'x'), of(i, 'w'), { bias: of(i, 'b'), padding: 1 });
    return added ? add(y, of(i, 'residual')) : y;
  };
  return {
    inputs: {
      x: draw([2, 5, 9, 8]),
      w: draw([7, 5, 3, 3], 0.2),
      b: draw([7]),
      ...(added ? { residual: draw([2, 7, 9, 8]) } : {}),
    },
    dtype,
    kernel: (i) =>
      fusedConv(
        channelsLast(of(i, 'x')),
        { weight: of(i, 'w'), bias: of(i, 'b') },
        {
          ...geometry,
          relu: true,
          ...(added ? { residual: channelsLast(of(i, 'residual')) } : {}),
        },
      ),
    // Below 0 −∞ may stay, where the slope of the rectifier is 10⁻³⁰.
    plain: (i) => {
      const y = convolve(i);
      return added ? relu(y) : where(gt(y, 0), y, mul(y, 1e-30));
    },
    exact: (i) => relu(convolve(i)),
    spreads: isLeftToLibtorch(dtype),
    tolerance: tolerances[dtype],
  };
}

function packedMlp(activation: Activation, dtype: 'float32' | 'bfloat16'): Twins {
  const base = mlp(activation, dtype);
  return {
    inputs: base.inputs,
    dtype,
    plain: base.plain,
    kernel: (i) =>
      mlpPacked(of(i, 'x'), {
        first: { weight: packLinear(of(i, 'w1')), bias: of(i, 'b1') },
        second: { weight: packLinear(of(i, 'w2')), bias: of(i, 'b2') },
        activation: activationCode[activation],
        residual: of(i, 'residual'),
      }),
    tolerance: tolerances[dtype],
  };
}

function packedLinear(dtype: 'float32' | 'bfloat16'): Twins {
  return {
    inputs: { x: draw([45, 70]), w: draw([40, 70], 0.1), b: draw([40]) },
    dtype,
    kernel: (i) => linearPacked(of(i, 'x'), { weight: packLinear(of(i, 'w')), bias: of(i, 'b') }),
    plain: (i) => linearPlain(of(i, 'x'), of(i, 'w'), of(i, 'b')),
    tolerance: tolerances[dtype],
  };
}

/** Weights in int8 beside what they stand for; a row of x in int8 is not finite as a whole. */
function int8(activation: Activation | null): Twins {
  const [rows, width, hidden] = [37, 34, 70];
  const first = quantizeRows(draw([hidden, width], 0.2));
  const second = quantizeRows(draw([width, hidden], 0.1));
  const inputs = {
    x: draw([rows, width]),
    scale1: first.scale,
    b1: draw([hidden]),
    scale2: second.scale,
    b2: draw([width]),
    residual: draw([rows, width]),
  };
  const compute = (i: Inputs, order: (values: Tensor) => Tensor): Tensor => {
    const one = { parts: [order(first.values)], scale: of(i, 'scale1') };
    const two = { parts: [order(second.values)], scale: of(i, 'scale2') };
    if (activation === null) {
      const units = linearInt8(of(i, 'x'), one, of(i, 'b1'));
      return linearInt8(units, two, of(i, 'b2'), of(i, 'residual'));
    }
    return mlpInt8(of(i, 'x'), {
      first: { weight: one, bias: of(i, 'b1') },
      second: { weight: two, bias: of(i, 'b2') },
      activation: activationCode[activation],
      residual: of(i, 'residual'),
    });
  };
  return {
    inputs,
    dtype: 'float32',
    kernel: (i) => compute(i, packInt8),
    plain: (i) => compute(i, (values) => values),
    tolerance: 1e-2,
  };
}

function ragged(): Twins {
  const packing = { starts: [0, 3, 8], length: 5 };
  return {
    inputs: { x: draw([2, 5, 4]) },
    dtype: 'float32',
    kernel: (i) => unpackRows(packRows(of(i, 'x'), packing), packing),
    plain: (i) => {
      const [a, b] = [0, 1].map((row) => narrow(of(i, 'x'), 0, row, 1)) as [Tensor, Tensor];
      const padded = (x: Tensor, rows: number): Tensor =>
        cat([narrow(x, 1, 0, rows), zeros([1, 5 - rows, 4])], 1);
      return cat([padded(a, 3), padded(b, 5)], 0);
    },
    upstream: draw([2, 5, 4]),
    tolerance: 0,
  };
}

function pixels(): Twins {
  const x = to(mul(draw([2, 5, 4, 3]), 20), { dtype: 'uint8' });
  return {
    inputs: { mean: draw([3]), std: draw([3]) },
    dtype: 'float32',
    kernel: (i) => normalizePixelsOp.tensor(x, of(i, 'mean'), of(i, 'std')),
    plain: (i) =>
      permute(div(sub(to(x, { dtype: 'float32' }), of(i, 'mean')), of(i, 'std')), [0, 3, 1, 2]),
    tolerance: 1e-6,
  };
}

const cases: Record<string, Twins> = {};
for (const length of [20, 70]) {
  for (const causal of [false, true]) {
    cases[`attention of ${length} tokens${causal ? ', causal' : ''}, bfloat16`] = attention(
      length,
      causal,
    );
  }
}
for (const dtype of types) {
  cases[`linear, ${dtype}`] = linearTwins(dtype);
  for (const activation of Object.keys(activationCode) as Activation[]) {
    cases[`mlp, ${activation}, ${dtype}`] = mlp(activation, dtype);
    cases[`mlp_packed, ${activation}, ${dtype}`] = packedMlp(activation, dtype);
  }
  cases[`quick_gelu, ${dtype}`] = {
    inputs: { x: draw([3, 50]) },
    dtype,
    kernel: (i) => quickGelu(of(i, 'x')),
    plain: (i) => mul(of(i, 'x'), sigmoid(mul(of(i, 'x'), 1.702))),
    upstream: draw([3, 50]),
    tolerance: tolerances[dtype],
  };
  cases[`layer_norm, ${dtype}`] = layerNormTwins(dtype);
  for (const training of [true, false]) {
    for (const followed of [false, true]) {
      const name = `batch_norm${training ? '' : ', evaluation'}${followed ? ', shortcut, relu' : ''}`;
      cases[`${name}, ${dtype}`] = batchNormTwins(dtype, training, followed);
    }
  }
  for (const kernel of [3, 7]) {
    cases[`depthwise_conv2d, ${kernel}×${kernel}, ${dtype}`] = depthwise(dtype, kernel);
  }
  cases[`linear_packed, ${dtype}`] = packedLinear(dtype);
  for (const added of [false, true]) {
    cases[`fused_conv, relu${added ? ', shortcut' : ''}, ${dtype}`] = fusedConvTwins(dtype, added);
  }
}
cases.linear_int8 = int8(null);
for (const activation of Object.keys(activationCode) as Activation[]) {
  cases[`mlp_int8, ${activation}`] = int8(activation);
}
cases['pack_rows, unpack_rows'] = ragged();
cases.normalize_pixels = pixels();

describe(`a number that is not finite, at level ${instructionLevel()}`, () => {
  for (const [name, twins] of Object.entries(cases)) {
    it(`NaN is where the plain operators have it: ${name}`, (test) => {
      const rows = seenNonFinite(twins, NaN).map(
        ({ input, inResult, ofResult, inGradients, ofGradients }) =>
          `${input} ${inResult} of ${ofResult}${ofGradients > 0 ? `, ${inGradients} of ${ofGradients}` : ''}`,
      );
      test.diagnostic(`${instructionLevel()} | ${name} | ${rows.join(' | ')}`);
    });

    it(`an infinity is seen where the plain operators have none that is finite: ${name}`, () => {
      for (const value of [Infinity, -Infinity]) seenNonFinite(twins, value);
    });
  }
});
