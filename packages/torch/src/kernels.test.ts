/** The matrix kernels of our own against the same operators in float32, and against differences. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from './at.js';
import { assertClose, assertGradients, difference } from './fixture.test.helper.js';
import {
  abs,
  activations,
  add,
  autocast,
  dims,
  eye,
  fromTypedArray,
  full,
  Generator,
  grad,
  hasAmx,
  keep,
  hasAvx512Bf16,
  instructionLevel,
  linear,
  max,
  memoryStats,
  mul,
  noGrad,
  onDevice,
  Operator,
  permute,
  randn,
  reshape,
  scaledDotProductAttention,
  scope,
  shortAttention,
  sum,
  to,
  transpose,
  unbind,
  zeros,
  type Activation,
  type FloatDType,
  type Tensor,
} from './index.js';
import { activationCode } from './nn/activation.js';

const generator = new Generator({ seed: 3 });
const mlpOp = new Operator('bantam::mlp');

interface MlpWeights {
  w1: Tensor;
  b1: Tensor;
  w2: Tensor;
  b2: Tensor;
}

/** Numbers that bfloat16 holds exactly, so that only what is computed can differ. */
function exact(shape: readonly number[], scale = 1): Tensor {
  return to(to(mul(randn(shape, generator), scale), { dtype: 'bfloat16' }), { dtype: 'float32' });
}

function leaf(values: Tensor, dtype: FloatDType): Tensor {
  const copy = to(mul(values, 1), { dtype });
  copy.requiresGrad = true;
  return copy;
}

/** The largest |a − b|, relative to the largest |b|. */
function relative(a: Tensor, b: Tensor): number {
  return difference(to(a, { dtype: 'float32' }), b) / max(abs(b)).item();
}

/** f's result and gradients at leaves with these values, of the given types. */
function run(
  f: (...leaves: Tensor[]) => Tensor,
  values: readonly Tensor[],
  dtypes: readonly FloatDType[],
  upstream: Tensor,
): Tensor[] {
  const leaves = values.map((value, i) =>
    leaf(value, i < dtypes.length ? at(dtypes, i) : 'float32'),
  );
  const y = f(...leaves);
  const gradients = grad([y], leaves, { gradOutputs: [to(upstream, { dtype: y.dtype })] });
  return [y, ...gradients.map((gradient) => gradient ?? assert.fail())];
}

/** Compares f under autocast, or all in bfloat16, with f in float32. */
function assertFast(
  f: (...leaves: Tensor[]) => Tensor,
  values: readonly Tensor[],
  upstream: Tensor,
  tolerance: number,
): void {
  const float32 = values.map((): FloatDType => 'float32');
  const bfloat16 = values.map((): FloatDType => 'bfloat16');
  const expected = run(f, values, float32, upstream);
  const results = {
    autocast: autocast('bfloat16', () => run(f, values, float32, upstream)),
    'autocast of bfloat16': autocast('bfloat16', () =>
      run(f, values, ['bfloat16', ...float32.slice(1)], upstream),
    ),
    bfloat16: run(f, values, bfloat16, upstream),
  };
  for (const [what, actual] of Object.entries(results)) {
    for (const [i, tensor] of actual.entries()) {
      const off = relative(tensor, expected[i] ?? assert.fail());
      assert.ok(off < tolerance, `${what}: result ${i} is off by ${off}`);
    }
  }
}

// Full panels and ragged ones; few rows, many rows, and more than is worked on at a time along k.
const shapes = [
  { rows: [64], inputs: 64, outputs: 96 },
  { rows: [5, 7], inputs: 70, outputs: 33 },
  { rows: [1], inputs: 48, outputs: 200 },
  { rows: [3, 500], inputs: 40, outputs: 24 },
  { rows: [33], inputs: 1100, outputs: 65 },
];

describe('bantam::linear', () => {
  for (const { rows, inputs, outputs } of shapes) {
    it(`[${rows.join(', ')}, ${inputs}] → ${outputs} equals float32, gradients included`, () => {
      const values = [exact([...rows, inputs]), exact([outputs, inputs], 0.1), exact([outputs])];
      const upstream = exact([...rows, outputs]);
      assertFast((x: Tensor, w: Tensor, b: Tensor) => linear(x, w, b), values, upstream, 0.01);
    });
  }

  for (const { rows, inputs, outputs } of shapes) {
    it(`float32 [${rows.join(', ')}, ${inputs}] → ${outputs} equals float64, gradients included`, () => {
      const values = [
        exact([...rows, inputs]),
        exact([outputs, inputs], 0.1),
        exact([outputs]),
        exact([...rows, outputs]),
      ];
      const upstream = exact([...rows, outputs]);
      const f = (x: Tensor, w: Tensor, b: Tensor, residual: Tensor): Tensor =>
        linear(x, w, b, { residual });
      const [actual, expected] = (['float32', 'float64'] as const).map((dtype) =>
        run(f, values, Array(4).fill(dtype), upstream),
      ) as [Tensor[], Tensor[]];
      for (const [i, tensor] of actual.entries()) {
        assert.equal(tensor.dtype, 'float32');
        assert.ok(relative(tensor, to(expected[i] ?? assert.fail(), { dtype: 'float32' })) < 2e-6);
      }
    });
  }

  it('adds a residual and passes its gradient on', () => {
    const values = [exact([6, 10, 40]), exact([72, 40], 0.1), exact([6, 10, 72])];
    const f = (x: Tensor, w: Tensor, residual: Tensor): Tensor => linear(x, w, null, { residual });
    assertFast(f, values, exact([6, 10, 72]), 0.01);
  });

  it('keeps a float32 residual in float32 and gives weights float32 gradients', () => {
    const [x, w, residual] = [exact([4, 32]), exact([32, 32]), exact([4, 32])];
    w.requiresGrad = true;
    const y = autocast('bfloat16', () => linear(x, w, null, { residual }));
    assert.equal(y.dtype, 'float32');
    assert.equal(grad([sum(y)], [w])[0]?.dtype, 'float32');
  });

  it('has second derivatives under autocast', () => {
    const [x, w] = [leaf(exact([4, 32]), 'float32'), leaf(exact([16, 32], 0.1), 'float32')];
    const [dx] = autocast('bfloat16', () => grad([sum(linear(x, w))], [x], { createGraph: true }));
    assert.ok(dx);
    const [dw] = grad([sum(mul(dx, dx))], [w]);
    // dx is the same in every row: the sum of w's rows.
    const expected = grad([mul(sum(mul(sum(w, { dim: 0 }), sum(w, { dim: 0 }))), 4)], [w])[0];
    assert.ok(dw && expected && relative(dw, expected) < 0.02);
  });

  it('has second derivatives in float32', () => {
    const values = [exact([4, 32]), exact([16, 32], 0.1)];
    const second = (dtype: FloatDType): Tensor => {
      const [x, w] = values.map((value) => leaf(value, dtype)) as [Tensor, Tensor];
      const y = linear(x, w);
      const [dx] = grad([sum(mul(y, y))], [x], { createGraph: true });
      const [dw] = grad([sum(dx ?? assert.fail())], [w]);
      return to(dw ?? assert.fail(), { dtype: 'float32' });
    };
    assert.ok(relative(second('float32'), second('float64')) < 1e-5);
  });

  it('refuses inputs of another width', () => {
    for (const dtype of ['bfloat16', 'float32'] as const) {
      assert.throws(() => autocast(dtype, () => linear(exact([4, 30]), exact([16, 32]))));
    }
  });

  it('has the gradient of finite differences', () => {
    const [x, w, b, residual] = [[3, 4], [5, 4], [5], [3, 5]].map((shape) =>
      randn(shape, generator, { dtype: 'float64' }),
    ) as [Tensor, Tensor, Tensor, Tensor];
    const g = randn([3, 5], generator, { dtype: 'float64' });
    assertGradients(() => sum(mul(linear(x, w, b, { residual }), g)), [x, w, b, residual]);
  });
});

describe('bantam::mlp', () => {
  const plain = (x: Tensor, { w1, b1, w2, b2 }: MlpWeights, activation: Activation): Tensor =>
    linear(activations[activation](linear(x, w1, b1)), w2, b2);
  const fused = (x: Tensor, { w1, b1, w2, b2 }: MlpWeights, activation: Activation): Tensor =>
    mlpOp.tensor(x, w1, b1, w2, b2, null, activationCode[activation]);
  const unnamed =
    (f: typeof fused, activation: Activation) =>
    (x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor): Tensor =>
      f(x, { w1, b1, w2, b2 }, activation);

  for (const activation of Object.keys(activationCode) as Activation[]) {
    for (const [rows, width, hidden] of [
      [128, 64, 128],
      [37, 50, 90],
    ] as const) {
      it(`${activation} [${rows}, ${width}] equals float32, gradients included`, () => {
        const values = [
          exact([rows, width]),
          exact([hidden, width], 0.2),
          exact([hidden]),
          exact([width, hidden], 0.1),
          exact([width]),
        ];
        const upstream = exact([rows, width]);
        assertFast(unnamed(fused, activation), values, upstream, 0.02);
        const [ours, theirs] = [fused, plain].map((f) =>
          run(unnamed(f, activation), values, [], upstream),
        );
        for (const [i, tensor] of (ours ?? []).entries()) {
          assert.ok(relative(tensor, theirs?.[i] ?? assert.fail()) < 1e-5);
        }
      });
    }

    it(`${activation} is accurate at all magnitudes`, () => {
      const x = to(mul(randn([64, 64], generator), 4), { dtype: 'bfloat16' });
      const identity = to(eye(64), { dtype: 'bfloat16' });
      const y = mlpOp.tensor(x, identity, null, identity, null, null, activationCode[activation]);
      const expected = activations[activation](to(x, { dtype: 'float64' })).toArray();
      for (const [i, value] of y.toArray().entries()) {
        const goal = at(expected, i);
        // One rounding to bfloat16, and what the approximations leave.
        assert.ok(Math.abs(value - goal) <= 0.004 * Math.abs(goal) + 2e-5, `${value} for ${goal}`);
      }
    });
  }

  for (const activation of Object.keys(activationCode) as Activation[]) {
    it(`${activation} in float32 equals float64, gradients included`, () => {
      const values = [exact([7, 5, 20]), exact([48, 20], 0.3), exact([48]), exact([20, 48], 0.2)];
      const upstream = exact([7, 5, 20]);
      const f = (x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor): Tensor =>
        mlpOp.tensor(x, w1, b1, w2, null, x, activationCode[activation]);
      const [actual, expected] = (['float32', 'float64'] as const).map((dtype) =>
        run(
          f,
          values,
          values.map(() => dtype),
          upstream,
        ),
      ) as [Tensor[], Tensor[]];
      for (const [i, tensor] of actual.entries()) {
        const exactly = to(expected[i] ?? assert.fail(), { dtype: 'float32' });
        assert.ok(relative(tensor, exactly) < 2e-6);
      }
    });
  }

  it('keeps what the activation is given, and not the activation too', () => {
    onDevice('meta', () => {
      scope(() => {
        const [x, w1, w2] = [
          [30, 8],
          [32, 8],
          [8, 32],
        ].map((shape) => {
          const tensor = zeros(shape);
          tensor.requiresGrad = true;
          return tensor;
        }) as [Tensor, Tensor, Tensor];
        const before = memoryStats().metaBytes;
        scope(() => keep(mlpOp.tensor(x, w1, null, w2, null, null, activationCode.gelu)));
        assert.equal(memoryStats().metaBytes - before, 4 * (30 * 32 + 30 * 8));
      });
    });
  });

  it('has the gradient of finite differences', () => {
    const [x, w1, b1, w2, b2] = [[3, 4], [6, 4], [6], [4, 6], [4]].map((shape) =>
      randn(shape, generator, { dtype: 'float64' }),
    ) as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const loss = (): Tensor => sum(fused(x, { w1, b1, w2, b2 }, 'quick-gelu'));
    assertGradients(loss, [x, w1, b1, w2, b2]);
  });

  it('passes NaN on, both ways', () => {
    const identity = to(eye(32), { dtype: 'bfloat16' });
    for (const code of Object.values(activationCode)) {
      const x = leaf(full([1, 32], NaN), 'bfloat16');
      const y = mlpOp.tensor(x, identity, null, identity, null, null, code);
      assert.ok(y.toArray().every(Number.isNaN));
      const [dx] = grad([sum(y)], [x]);
      assert.ok(
        dx?.toArray().every((value) => Number.isNaN(value) || code === activationCode.relu),
      );
    }
  });
});

describe('bantam::attention', () => {
  /** libtorch's own attention from the joint projection. */
  function reference(qkv: Tensor, heads: number, causal: boolean): Tensor {
    const [batch, length, width] = dims(qkv, 3);
    const parts = unbind(reshape(qkv, [batch, length, 3, heads, width / 3 / heads]), 2);
    const [q, k, v] = parts.map((part) => transpose(part, 1, 2)) as [Tensor, Tensor, Tensor];
    const mixed = scaledDotProductAttention(q, k, v, { causal });
    return reshape(permute(mixed, [0, 2, 1, 3]), [batch, length, width / 3]);
  }

  for (const { batch, length, heads, depth, causal } of [
    { batch: 2, length: 50, heads: 3, depth: 64, causal: false },
    { batch: 1, length: 16, heads: 12, depth: 64, causal: true },
    { batch: 3, length: 1, heads: 2, depth: 16, causal: true },
    { batch: 1, length: 77, heads: 2, depth: 48, causal: true },
    { batch: 1, length: 200, heads: 1, depth: 80, causal: false },
    { batch: 1, length: 512, heads: 1, depth: 32, causal: false },
  ]) {
    it(`${length} tokens, depth ${depth}${causal ? ', causal' : ''}, in float32 without gradients`, () => {
      noGrad(() => {
        const qkv = exact([batch, length, 3 * heads * depth]);
        const actual = shortAttention(qkv, { heads, causal });
        // Only at the plain level is there no kernel.
        if (instructionLevel() === 'default') return;
        assert.ok(actual);
        assertClose(actual, reference(qkv, heads, causal), { tolerance: 2e-6 });
      });
    });
  }

  for (const { batch, length, heads, depth, causal } of [
    { batch: 2, length: 50, heads: 3, depth: 64, causal: false },
    { batch: 17, length: 16, heads: 2, depth: 64, causal: true },
    { batch: 1, length: 77, heads: 2, depth: 32, causal: true },
    { batch: 1, length: 197, heads: 1, depth: 96, causal: false },
    { batch: 2, length: 1, heads: 2, depth: 64, causal: false },
    { batch: 3, length: 7, heads: 2, depth: 32, causal: false },
    { batch: 1, length: 197, heads: 2, depth: 64, causal: true },
    { batch: 1, length: 512, heads: 1, depth: 32, causal: false },
  ]) {
    it(`${length} tokens, depth ${depth}${causal ? ', causal' : ''} equals float32`, () => {
      const qkv = exact([batch, length, 3 * heads * depth]);
      const upstream = exact([batch, length, heads * depth]);
      const f = (x: Tensor): Tensor =>
        shortAttention(x, { heads, causal }) ?? reference(x, heads, causal);
      const actual = run(f, [qkv], ['bfloat16'], upstream);
      const expected = run(
        (x: Tensor) => reference(x, heads, causal),
        [qkv],
        ['float32'],
        upstream,
      );
      for (const [i, tensor] of actual.entries()) {
        assert.ok(relative(tensor, expected[i] ?? assert.fail()) < 0.02);
      }
    });
  }

  it('leaves a NaN to be seen, in the result and in the gradient', () => {
    for (const place of [0, 1, 2]) {
      const values = Float32Array.from({ length: 20 * 192 }, (_, i) => Math.sin(i));
      // Of the last token: a number of its q, its k or its v.
      values[19 * 192 + place * 64 + 5] = NaN;
      const qkv = fromTypedArray(values, { shape: [1, 20, 192] });
      for (const causal of [false, true]) {
        const f = (x: Tensor): Tensor =>
          shortAttention(x, { heads: 2, causal }) ?? reference(x, 2, causal);
        for (const tensor of run(f, [qkv], ['bfloat16'], exact([1, 20, 64]))) {
          assert.ok(Number.isNaN(sum(tensor).item()));
        }
      }
    }
  });

  it('applies to bfloat16 where the CPU multiplies it, to float32 without gradients, and says where not', () => {
    const qkv = exact([1, 4, 96]);
    const options = { heads: 1, causal: false };
    const fast = hasAmx() || hasAvx512Bf16();
    assert.equal(shortAttention(to(qkv, { dtype: 'bfloat16' }), options) !== null, fast);
    assert.equal(shortAttention(qkv, options) !== null, instructionLevel() !== 'default');
    assert.equal(shortAttention(leaf(qkv, 'float32'), options), null);
    assert.equal(shortAttention(to(qkv, { dtype: 'bfloat16' }), { ...options, heads: 2 }), null);
  });

  it('has the gradient of finite differences', () => {
    const attention = new Operator('bantam::attention');
    const qkv = randn([1, 3, 12], generator, { dtype: 'float64' });
    const g = randn([1, 3, 4], generator, { dtype: 'float64' });
    assertGradients(() => sum(mul(attention.tensor(qkv, 2, true), g)), [qkv]);
  });
});

describe('bantam::layer_norm', () => {
  const fused = new Operator('bantam::layer_norm');
  const plain = new Operator('aten::layer_norm');

  /** ⟨norm(x), g⟩ + ⟨x, h⟩ by our kernel and by libtorch's; h is the residual's gradient. */
  function losses(x: Tensor, w: Tensor, b: Tensor, [g, h]: [Tensor, Tensor]): [Tensor, Tensor] {
    const [normed, residual] = fused.tensors(x, w, b, 1e-5) as [Tensor, Tensor];
    const expected = plain.tensor(x, w.shape, w, b, 1e-5, false);
    const loss = (y: Tensor, z: Tensor): Tensor => add(sum(mul(y, g)), sum(mul(z, h)));
    return [loss(normed, residual), loss(expected, x)];
  }

  for (const [dtype, tolerance] of [
    ['float32', 2e-6],
    ['bfloat16', 0.01],
  ] as const) {
    for (const shape of [
      [3, 50, 64],
      [130, 45],
    ]) {
      it(`[${shape.join(', ')}] in ${dtype} equals libtorch in float32, gradients included`, () => {
        const width = at(shape, -1);
        const values = exact(shape);
        const [w, b] = [leaf(exact([width]), 'float32'), leaf(exact([width]), 'float32')];
        const upstream: [Tensor, Tensor] = [exact(shape), exact(shape)];
        const [x, wide] = [leaf(values, dtype), leaf(values, 'float32')];
        const actual = grad([losses(x, w, b, upstream)[0]], [x, w, b]);
        const expected = grad([losses(wide, w, b, upstream)[1]], [wide, w, b]);
        for (const [i, tensor] of actual.entries()) {
          const goal = expected[i];
          assert.ok(tensor && goal && relative(tensor, goal) < tolerance);
        }
        const [normed, residual] = fused.tensors(x, w, b, 1e-5) as [Tensor, Tensor];
        assert.equal(normed.dtype, dtype);
        assert.ok(relative(normed, plain.tensor(wide, w.shape, w, b, 1e-5, false)) < tolerance);
        assert.deepEqual(residual.toArray(), x.toArray());
      });
    }
  }

  it('has second derivatives', () => {
    const [x, w, b] = [
      leaf(exact([4, 8]), 'float32'),
      leaf(exact([8]), 'float32'),
      leaf(exact([8]), 'float32'),
    ];
    const seconds = losses(x, w, b, [exact([4, 8]), exact([4, 8])]).map((loss) => {
      const [dx] = grad([loss], [x], { createGraph: true });
      assert.ok(dx);
      return grad([sum(mul(dx, dx))], [x, w]);
    });
    for (const i of [0, 1]) {
      const [ours, theirs] = [seconds[0]?.[i], seconds[1]?.[i]];
      assert.ok(ours && theirs && relative(ours, theirs) < 1e-5);
    }
  });

  it('has the gradient of finite differences', () => {
    const [x, w, b] = [[2, 5], [5], [5]].map((shape) =>
      randn(shape, generator, { dtype: 'float64' }),
    ) as [Tensor, Tensor, Tensor];
    const upstream = [
      [2, 5],
      [2, 5],
    ].map((shape) => randn(shape, generator, { dtype: 'float64' })) as [Tensor, Tensor];
    assertGradients(() => losses(x, w, b, upstream)[0], [x, w, b]);
  });
});
