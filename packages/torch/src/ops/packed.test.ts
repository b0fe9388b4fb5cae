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
import { linear } from './matrix.js';
import { conv2d } from './conv.js';
import { relu as reluOf } from './neural.js';
import { fusedConv, linearPacked, mlpPacked, packConv, packLinear } from './packed.js';
import { randn } from './random.js';
import { channelsLast, clone, to } from './shape.js';

const types = ['float32', 'bfloat16'] as const;

/** Of the norm of the difference to that of the expected values. */
const tolerance = { float32: 1e-6, bfloat16: 0.006 };

function assertNear(actual: Tensor, expected: Tensor, dtype: 'float32' | 'bfloat16'): void {
  assert.equal(actual.dtype, dtype);
  assert.deepEqual(actual.shape, expected.shape);
  const [found, wanted] = [actual.toArray(), expected.toArray()];
  const error = Math.hypot(...wanted.map((value, i) => value - at(found, i)));
  assert.ok(error <= tolerance[dtype] * Math.hypot(...wanted), `${error}`);
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
            weight: geometry.groups === 1 ? packConv(own) : own,
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
  });
});
