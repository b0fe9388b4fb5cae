import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { noGrad } from '../autograd.js';
import type { FloatDType } from '../dtype.js';
import { activationCode, activations, type Activation } from '../nn/activation.js';
import { Operator } from '../operator.js';
import { Generator } from '../random.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { add, mul } from './arithmetic.js';
import { bmm, linear } from './matrix.js';
import { conv2d } from './conv.js';
import { relu as reluOf, softmax } from './neural.js';
import {
  attentionPool,
  averagePool,
  fusedConv,
  hasPanels,
  linearPacked,
  mlpPacked,
  packHeads,
  packLinear,
  packPanels,
  packsAttentionPool,
} from './packed.js';
import { randn } from './random.js';
import { mean } from './reduce.js';
import { cat, channelsLast, clone, narrow, reshape, to, transpose } from './shape.js';
import { avgPool2d } from './spatial.js';

const types = ['float32', 'bfloat16'] as const;

/** Of the norm of the difference to that of the expected values. */
const tolerance = { float32: 1e-6, bfloat16: 0.006 };

type Type = (typeof types)[number];

function assertNear(actual: Tensor, expected: Tensor, dtype: Type, computed: Type = dtype): void {
  assert.equal(actual.dtype, dtype);
  assert.deepEqual(actual.shape, expected.shape);
  const [found, wanted] = [actual.toArray(), expected.toArray()];
  const error = Math.hypot(...wanted.map((value, i) => value - at(found, i)));
  assert.ok(error <= tolerance[computed] * Math.hypot(...wanted), `${error}`);
}

/** Draws tensors whose values bfloat16 holds unchanged. */
function drawer(seed: number): (shape: readonly number[], dtype?: FloatDType) => Tensor {
  const generator = new Generator({ seed });
  return (shape, dtype = 'float32') =>
    to(to(randn(shape, generator), { dtype: 'bfloat16' }), { dtype });
}

function inScope(body: () => void): void {
  noGrad(() => {
    scope(body);
  });
}

describe('fusedConv', () => {
  const shared = { padding: 0, stride: 1, dilation: 1, groups: 1 };
  const cases = [
    { ...shared, channels: [5, 7], kernel: 1 },
    { ...shared, channels: [16, 24], kernel: 3, padding: 1 },
    { ...shared, channels: [3, 8], kernel: 3, padding: 1, stride: 2 },
    { ...shared, channels: [20, 20], kernel: 7, padding: 3, groups: 20 },
    { ...shared, channels: [32, 64], kernel: 1, stride: 2 },
    { ...shared, channels: [24, 144], kernel: 3, padding: 2, dilation: 2 },
    { ...shared, channels: [1100, 16], kernel: 1 },
    { ...shared, channels: [6, 32], kernel: 3, padding: 1, stride: 2, groups: 2 },
  ] as const;
  for (const dtype of types) {
    for (const example of cases) {
      it(`is convolution, shortcut and ReLU: ${dtype} ${JSON.stringify(example)}`, () => {
        inScope(() => {
          const draw = drawer(1);
          const { channels, kernel, ...geometry } = example;
          const [from, out] = channels;
          const x = channelsLast(draw([2, from, 9, 8]));
          const weight = draw([out, from / geometry.groups, kernel, kernel]);
          const bias = draw([out]);
          const plain = conv2d(x, weight, { bias, ...geometry });
          const own = to(weight, { dtype });
          const layer = {
            weight: geometry.groups === 1 ? packPanels(own) : own,
            bias,
            kernel: [kernel, kernel],
          };
          const input = to(x, { dtype });
          assertNear(fusedConv(input, layer, geometry), plain, dtype);
          const bare = conv2d(x, weight, geometry);
          assertNear(fusedConv(input, { ...layer, bias: null }, geometry), bare, dtype);
          const rectified = reluOf(plain);
          assertNear(fusedConv(input, layer, { ...geometry, relu: true }), rectified, dtype);
          const shortcut = channelsLast(draw(plain.shape));
          for (const relu of [false, true]) {
            const sum = add(plain, shortcut);
            const residual = clone(to(shortcut, { dtype }));
            const actual = fusedConv(input, layer, { ...geometry, residual, relu });
            assertNear(actual, relu ? reluOf(sum) : sum, dtype);
          }
        });
      });
    }
  }
});

describe('linearPacked', () => {
  for (const dtype of types) {
    // Outputs that fill vectors or do not, and one, two, three or four vectors in the last panel.
    for (const [outputs, inputs] of [
      [70, 33],
      [16, 33],
      [96, 1100],
      [176, 64],
      [384, 2100],
      [8, 1],
    ] as const) {
      it(`is a linear layer ${inputs} → ${outputs} in ${dtype}, for any number of rows`, () => {
        inScope(() => {
          const draw = drawer(2);
          const [weight, bias] = [draw([outputs, inputs]), draw([outputs])];
          const packed = { weight: packLinear(to(weight, { dtype })), bias };
          for (const rows of [1, 5, 300]) {
            const [x, residual] = [draw([rows, inputs]), draw([rows, outputs])];
            const input = to(x, { dtype });
            const plain = linear(x, weight, bias);
            assertNear(linearPacked(input, packed), plain, dtype);
            const added = linearPacked(input, packed, to(residual, { dtype }));
            assertNear(added, add(plain, residual), dtype);
            const bare = linearPacked(input, { ...packed, bias: null });
            assertNear(bare, linear(x, weight), dtype);
          }
          const empty = linearPacked(to(draw([0, inputs]), { dtype }), packed);
          assert.deepEqual(empty.shape, [0, outputs]);
        });
      });
    }
  }
});

describe('linearPacked by packPanels', () => {
  for (const dtype of types) {
    it(`is a linear layer in ${dtype}`, () => {
      inScope(() => {
        const draw = drawer(5);
        const [weight, bias] = [draw([48, 70]), draw([48])];
        const packed = { weight: packPanels(to(weight, { dtype })), bias };
        assert.equal(packed.weight.rank === 1, hasPanels(dtype));
        const [x, residual] = [draw([9, 70]), draw([9, 48])];
        const [input, plain] = [to(x, { dtype }), linear(x, weight, bias)];
        assertNear(linearPacked(input, packed), plain, dtype);
        const added = linearPacked(input, packed, to(residual, { dtype }));
        assertNear(added, add(plain, residual), dtype);
        assertNear(linearPacked(input, packed, residual), add(plain, residual), 'float32', dtype);
      });
    });
  }
});

describe('averagePool', () => {
  for (const dtype of types) {
    for (const shape of [
      [2, 32, 8, 6],
      [1, 5, 7, 9],
      [3, 19, 4, 4],
    ]) {
      it(`gives the bits of libtorch's operator for ${dtype} [${shape.join(', ')}]`, () => {
        inScope(() => {
          const x = channelsLast(to(drawer(6)(shape), { dtype }));
          for (const side of [1, 2, 4]) {
            const expected = avgPool2d(x, { kernel: side });
            assert.deepEqual(averagePool(x, side).shape, expected.shape);
            assert.deepEqual(averagePool(x, side).toArray(), expected.toArray());
            const other = averagePool(clone(x), side);
            assert.deepEqual(other.toArray(), expected.toArray());
          }
        });
      });
    }
  }

  it('refuses squares that do not fit', () => {
    assert.throws(() => averagePool(drawer(6)([1, 4, 3, 5]), 4), /squares of 4 do not fit a map/);
  });
});

describe('attentionPool', () => {
  /** Attention over all locations with projections of each, as its definition has it. */
  const plainPool = (
    tokens: Tensor,
    positions: Tensor,
    layers: readonly Tensor[],
    heads: number,
  ) => {
    const [wq, bq, wk, wv, bv] = layers as [Tensor, Tensor, Tensor, Tensor, Tensor];
    const x = add(cat([mean(tokens, { dim: 1, keepdim: true }), tokens], 1), positions);
    const [batch, length, width] = [x.dim(0), x.dim(1), x.dim(2)];
    const split = (rows: Tensor, count: number): Tensor => {
      const apart = transpose(reshape(rows, [batch, count, heads, width / heads]), 1, 2);
      return reshape(apart, [batch * heads, count, width / heads]);
    };
    const q = split(linear(narrow(x, 1, 0, 1), wq, bq), 1);
    const [k, v] = [split(linear(x, wk), length), split(linear(x, wv, bv), length)];
    const scores = mul(bmm(q, transpose(k, 1, 2)), (width / heads) ** -0.5);
    return reshape(bmm(softmax(scores, -1), v), [batch, width]);
  };
  const cases = [
    { batch: 1, locations: 4, width: 64, heads: 1 },
    { batch: 2, locations: 1, width: 128, heads: 2 },
    { batch: 3, locations: 9, width: 192, heads: 4 },
    { batch: 19, locations: 49, width: 128, heads: 8 },
  ];
  for (const dtype of types) {
    for (const { batch, locations, width, heads } of cases) {
      it(`is attention by the mean: ${dtype} [${batch}, ${locations}, ${width}], ${heads} heads`, (t) => {
        if (!packsAttentionPool(width, heads, dtype)) {
          t.skip('no kernel for it at this level');
          return;
        }
        inScope(() => {
          const draw = drawer(7);
          const tokens = draw([batch, locations, width]);
          const positions = draw([locations + 1, width]);
          const small = (shape: readonly number[]) => mul(draw(shape), width ** -0.5);
          const [wq, wk, wv] = [0, 1, 2].map(() =>
            to(to(small([width, width]), { dtype: 'bfloat16' }), { dtype: 'float32' }),
          ) as [Tensor, Tensor, Tensor];
          const [bq, bv] = [draw([width]), draw([width])];
          const own = (weight: Tensor) => to(weight, { dtype });
          const actual = attentionPool(to(tokens, { dtype }), {
            positions,
            query: { weight: packPanels(own(wq)), bias: bq },
            keys: packHeads(own(wk), { heads, transposed: true }),
            values: { weight: packHeads(own(wv), { heads }), bias: bv },
            heads,
          });
          assertNear(actual, plainPool(tokens, positions, [wq, bq, wk, wv, bv], heads), dtype);
        });
      });
    }
  }

  it('refuses weights and positions that do not fit the map, in one sentence', () => {
    const draw = drawer(8);
    const pool = new Operator('bantam::attention_pool');
    const [map, positions] = [draw([1, 4, 64]), draw([5, 64])];
    assert.throws(
      () => pool.tensor(map, positions, draw([7]), null, draw([7]), draw([7]), null, 1),
      /rows of 64 inputs do not fit the panels of a weight of 7 elements/,
    );
    const weight = draw([64 * 64]);
    assert.throws(
      () => pool.tensor(map, draw([4, 64]), weight, null, weight, weight, null, 1),
      /attention pooling of 4 locations has 5 positions of 64 numbers/,
    );
    assert.throws(
      () => pool.tensor(map, positions, weight, null, weight, weight, null, 3),
      /attention pooling of 3 heads/,
    );
  });
});

describe('mlpPacked', () => {
  /** With 2100 units between, the rows are taken in several blocks. */
  const sizes = [
    { rows: 7, width: 20, hidden: 50 },
    { rows: 1100, width: 12, hidden: 2100 },
    { rows: 7, width: 32, hidden: 80 },
    { rows: 1100, width: 16, hidden: 2112 },
    { rows: 5, width: 32, hidden: 50 },
  ];
  for (const dtype of types) {
    for (const name of Object.keys(activations) as Activation[]) {
      it(`is two linear layers with ${name} between, in ${dtype}`, () => {
        inScope(() => {
          for (const { rows, width, hidden } of sizes) {
            const draw = drawer(3);
            const x = draw([rows, width]);
            const [weight1, weight2] = [draw([hidden, width]), draw([width, hidden])];
            const [bias1, bias2] = [draw([hidden]), mul(draw([width]), 16)];
            const units = activations[name](linear(x, weight1, bias1));
            const plain = linear(units, weight2, bias2);
            const pack = (weight: Tensor) => packLinear(to(weight, { dtype }));
            const first = { weight: pack(weight1), bias: bias1 };
            const second = { weight: pack(weight2), bias: bias2 };
            const layers = { first, second, activation: activationCode[name] };
            const input = to(x, { dtype });
            assertNear(mlpPacked(input, layers), plain, dtype);
            const residual = mul(draw([rows, width]), 64);
            const wide = mlpPacked(input, { ...layers, residual });
            assert.equal(wide.dtype, 'float32');
            const narrow = mlpPacked(input, { ...layers, residual: to(residual, { dtype }) });
            assertNear(narrow, add(residual, plain), dtype);
          }
        });
      });
    }
  }
});

describe('conv_panels', () => {
  const draw = drawer(4);
  const conv = new Operator('bantam::conv_panels');
  const [one, none] = [
    [1, 1],
    [0, 0],
  ];

  it('refuses a weight and a geometry that do not fit the map, in one sentence', () => {
    const map = draw([1, 4, 3, 3]);
    assert.throws(
      () => conv.tensor(map, draw([7]), null, null, one, one, none, one, false),
      /rows of 4 inputs do not fit the panels of a weight of 7 elements/,
    );
    assert.throws(
      () => conv.tensor(map, draw([64]), null, null, one, [0, 1], none, one, false),
      /kernel, stride and dilation are at least 1, not 0/,
    );
    assert.throws(
      () => conv.tensor(map, draw([64]), null, null, [], one, none, one, false),
      /kernel, stride, padding and dilation are two numbers each, not 0/,
    );
  });
});
