/** int8 products against plain loops in float64, the fast path against the plain one, and layers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from './at.js';
import { difference } from './fixture.test.helper.js';
import {
  activations,
  autocast,
  fromTypedArray,
  Generator,
  hasInt8Products,
  Int8Weight,
  linear,
  linearInt8,
  Linear,
  memoryStats,
  Mlp,
  MultiheadAttention,
  narrow,
  noGrad,
  packInt8,
  quantizeLinears,
  quantizeRows,
  randn,
  scope,
  tensor,
  to,
  type Activation,
  type Tensor,
} from './index.js';

const generator = new Generator({ seed: 11 });
const liveBytes = () => memoryStats().liveBytes;

/** To nearest, halves to even, as the CPU rounds. */
function roundEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** The largest size of a row's numbers. */
function largest(row: readonly number[]): number {
  return row.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

function rowsOf(x: Tensor): number[][] {
  const values = x.toArray();
  const width = x.dim(-1);
  return Array.from({ length: values.length / width }, (_, i) =>
    values.slice(i * width, (i + 1) * width),
  );
}

/** The formula of linearInt8 in float64; what rounding depends on is in float32, as stated. */
function expected(x: Tensor, weight: Tensor, bias: Tensor | null, residual?: Tensor): number[] {
  const b = bias?.toArray();
  const r = residual?.toArray();
  const weights = rowsOf(weight).map((row) => {
    const t = Math.fround(Math.fround(largest(row)) / 127);
    return { t, p: row.map((w) => roundEven(Math.fround(w / t))) };
  });
  return rowsOf(x).flatMap((row, i) => {
    const most = largest(row);
    const factor = most > 1e-30 ? Math.fround(127 / most) : 0;
    const q = row.map((value) => roundEven(Math.fround(value * factor)));
    return weights.map(({ t, p }, j) => {
      const sum = q.reduce((total, value, k) => total + value * at(p, k), 0);
      const added = (b ? at(b, j) : 0) + (r ? at(r, i * weights.length + j) : 0);
      return (most / 127) * t * sum + added;
    });
  });
}

function assertNear(actual: Tensor, wanted: readonly number[], tolerance: number): void {
  const values = actual.toArray();
  assert.equal(values.length, wanted.length);
  for (const [i, value] of values.entries()) {
    const goal = at(wanted, i);
    const near = Math.abs(value - goal) <= tolerance * Math.max(1, Math.abs(goal));
    assert.ok(near, `[${i}] is ${value}, not ${goal}`);
  }
}

/** The two orders of a weight: for the CPU and unchanged. */
const orders = { packed: packInt8, plain: (values: Tensor) => values };

describe('quantizeRows', () => {
  it('is round(127·w / max|w|) per row, and its products err by at most half a step', () => {
    const weight = randn([5, 40], generator);
    const { values, scale } = quantizeRows(weight);
    assert.deepEqual([values.dtype, scale.dtype, scale.shape], ['int8', 'float32', [5]]);
    const [rows, steps] = [rowsOf(weight), scale.toArray()];
    for (const [i, row] of rowsOf(values).entries()) {
      const step = at(steps, i);
      assert.equal(largest(row), 127);
      for (const [k, p] of row.entries()) {
        assert.ok(Math.abs(at(at(rows, i), k) - step * p) <= 0.5001 * step);
      }
    }
  });

  it('lets a weight that is not finite be seen', () => {
    for (const bad of [NaN, Infinity]) {
      using int8 = new Int8Weight(
        tensor([
          [1, bad],
          [1, -2],
        ]),
      );
      const finite = linear(tensor([[3, 127]]), int8)
        .toArray()
        .map(Number.isFinite);
      assert.deepEqual(finite, [false, true]);
    }
  });

  it('keeps a row of zeros', () => {
    const { values, scale } = quantizeRows(
      tensor([
        [0, 0],
        [1, -2],
      ]),
    );
    assert.deepEqual([values.toArray(), scale.toArray()[0]], [[0, 0, 64, -127], 1]);
  });
});

for (const [name, order] of Object.entries(orders)) {
  describe(`linearInt8 with ${name} weights`, () => {
    for (const [rows, inputs, outputs] of [
      [1, 16, 16],
      [37, 70, 33],
      [600, 48, 96],
      [3, 1536, 40],
    ] as const) {
      it(`equals the formula: ${rows} × ${inputs} → ${outputs}`, () => {
        const x = randn([rows, inputs], generator);
        const weight = randn([outputs, inputs], generator);
        const [bias, residual] = [randn([outputs], generator), randn([rows, outputs], generator)];
        const { values, scale } = quantizeRows(weight);
        const int8 = { parts: [order(values)], scale };
        assertNear(linearInt8(x, int8, null), expected(x, weight, null), 2e-6);
        const y = linearInt8(x, int8, bias, residual);
        assertNear(y, expected(x, weight, bias, residual), 2e-6);
      });
    }

    it('takes rows of zeros, of numbers near nothing, and of very large ones', () => {
      const row = Array.from({ length: 32 }, (_, i) => i - 16);
      const x = tensor([0, 1e-38, 1e-20, 1e30].map((scale) => row.map((value) => value * scale)));
      const weight = randn([4, 32], generator);
      const { values, scale } = quantizeRows(weight);
      const y = linearInt8(x, { parts: [order(values)], scale }, null);
      assertNear(y, expected(x, weight, null), 2e-6);
    });

    it('lets NaN and infinity of a row be seen, and of that row alone', () => {
      for (const bad of [NaN, Infinity]) {
        const x = randn([3, 20], generator).toArray();
        x[25] = bad;
        const { values, scale } = quantizeRows(randn([4, 20], generator));
        const int8 = { parts: [order(values)], scale };
        const y = rowsOf(
          linearInt8(fromTypedArray(Float32Array.from(x), { shape: [3, 20] }), int8, null),
        );
        assert.deepEqual(
          y.map((row) => row.map(Number.isFinite)),
          [true, false, true].map((finite) => Array<boolean>(4).fill(finite)),
        );
      }
    });

    it('gives the type that linear gives', () => {
      const x = randn([2, 3, 16], generator);
      const narrowX = to(x, { dtype: 'bfloat16' });
      const residual = randn([2, 3, 8], generator);
      const weight = randn([8, 16], generator);
      const { values, scale } = quantizeRows(weight);
      const run = (input: Tensor, rest?: Tensor) =>
        linearInt8(input, { parts: [order(values)], scale }, null, rest);
      assert.equal(run(x).dtype, 'float32');
      assert.equal(run(narrowX).dtype, 'bfloat16');
      assert.equal(run(to(x, { dtype: 'float16' })).dtype, 'float16');
      assert.equal(autocast('bfloat16', () => run(x)).dtype, 'bfloat16');
      const wide = autocast('bfloat16', () => run(narrowX, residual));
      assert.equal(wide.dtype, 'float32');
      const exact = to(narrowX, { dtype: 'float32' });
      assertNear(wide, expected(exact, weight, null, residual), 2e-6);
      const small = autocast('bfloat16', () => run(narrowX));
      assertNear(small, expected(exact, weight, null), 2 ** -8);
    });
  });
}

describe('an int8 weight', () => {
  it('multiplies as the whole and by its parts', () => {
    const [x, weight, bias] = [[7, 24], [36, 24], [36]].map((shape) => randn(shape, generator)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    using int8 = new Int8Weight(weight, { parts: 3 });
    const whole = linear(x, int8, bias);
    assertNear(whole, expected(x, weight, bias), 2e-6);
    const last = linear(x, int8.rows(1, 2), narrow(bias, 0, 12, 24));
    assert.equal(difference(last, narrow(whole, 1, 12, 24)), 0);
  });

  it('has no gradients', () => {
    using int8 = new Int8Weight(randn([4, 8], generator));
    const x = randn([2, 8], generator);
    x.requiresGrad = true;
    assert.throws(() => linear(x, int8), /int8 layers have no gradients.*noGrad/);
    assert.deepEqual(noGrad(() => linear(x, int8)).shape, [2, 4]);
  });

  it('refuses rows of another length', () => {
    using int8 = new Int8Weight(randn([4, 8], generator));
    assert.throws(() => linear(randn([2, 9], generator), int8), /of 8 inputs was given 9/);
  });
});

describe('quantizeLinears', () => {
  const relative = (a: Tensor, b: Tensor) =>
    difference(a, b) / b.toArray().reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  for (const activation of Object.keys(activations) as Activation[]) {
    it(`puts an MLP with ${activation} into int8 as two linear layers`, () => {
      using mlp = new Mlp({ width: 40, hidden: 90, activation, generator });
      const [x, residual] = [randn([70, 40], generator), randn([70, 40], generator)];
      noGrad(() => {
        const float = mlp.forward(x, { residual });
        assert.deepEqual(quantizeLinears(mlp), ['c_fc', 'c_proj']);
        const whole = mlp.forward(x, { residual });
        const units = activations[activation](mlp.cFc.forward(x));
        assert.ok(difference(whole, mlp.cProj.forward(units, { residual })) < 5e-3);
        assert.ok(relative(whole, float) < 0.02);
      });
    });
  }

  it('puts attention into int8, for some queries as for all', () => {
    using attention = new MultiheadAttention({ width: 32, heads: 4, generator });
    const x = randn([3, 9, 32], generator);
    noGrad(() => {
      const float = attention.forward(x, { causal: true });
      assert.deepEqual(quantizeLinears(attention), ['', 'out_proj']);
      const all = attention.forward(x, { causal: true });
      assert.ok(relative(all, float) < 0.03);
      const some = attention.forward(x, {
        causal: true,
        queries: narrow(x, 1, 4, 2),
        positions: tensor(
          [
            [4, 5],
            [4, 5],
            [4, 5],
          ],
          { dtype: 'int64' },
        ),
      });
      assert.ok(difference(some, narrow(all, 1, 4, 2)) < 1e-2);
    });
  });

  it('takes a quarter of the memory, and is freed', () => {
    const before = liveBytes();
    const layer = new Linear({ inFeatures: 512, outFeatures: 1024, bias: false, generator });
    const wide = liveBytes() - before;
    quantizeLinears(layer);
    const held = liveBytes() - before;
    assert.ok(held < wide * 0.27, `${held} of ${wide} bytes`);
    layer.dispose();
    assert.equal(liveBytes(), before);
  });

  it('refuses to be saved or copied', () => {
    using mlp = new Mlp({ width: 8, hidden: 16, generator });
    quantizeLinears(mlp);
    assert.throws(() => mlp.stateDict(), /'c_fc.weight' is in int8.*load the model once more/);
    assert.throws(() => mlp.fusedStateDict(), /'weight' is in int8/);
  });

  it('leaves no tensors behind', () => {
    using mlp = new Mlp({ width: 8, hidden: 16, generator });
    quantizeLinears(mlp);
    const x = randn([4, 8], generator);
    const before = liveBytes();
    scope(() => noGrad(() => mlp.forward(x)).dim(0));
    assert.equal(liveBytes(), before);
    assert.equal(typeof hasInt8Products(), 'boolean');
  });
});
