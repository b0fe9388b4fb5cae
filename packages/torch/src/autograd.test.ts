import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertGradients, difference } from './fixture.test.helper.js';
import {
  autocast,
  backward,
  Generator,
  exp,
  full,
  grad,
  LayerNorm,
  linear,
  mul,
  mul_,
  matmul,
  isGradEnabled,
  noGrad,
  ones,
  pow,
  quickGelu,
  randn,
  sigmoid,
  sum,
  tensor,
  to,
  transpose,
  type FloatDType,
  type Tensor,
} from './index.js';

function leaf(values: number[]): Tensor {
  const x = tensor(values);
  x.requiresGrad = true;
  return x;
}

describe('autograd', () => {
  it('accumulates gradients over passes', () => {
    const x = leaf([1, 2, 3]);
    sum(pow(x, 2)).backward();
    assert.deepEqual(x.grad?.toArray(), [2, 4, 6]);
    sum(mul(x, 10)).backward();
    assert.deepEqual(x.grad.toArray(), [12, 14, 16]);
    x.grad = null;
    assert.equal(x.grad, null);
  });

  it('takes the gradient of a result that is no scalar', () => {
    const x = leaf([1, 2]);
    pow(x, 2).backward({ grad: tensor([1, -1]) });
    assert.deepEqual(x.grad?.toArray(), [2, -4]);
    assert.throws(() => {
      pow(x, 2).backward();
    }, /scalar/);
  });

  it('frees the graph unless it is told to retain it', () => {
    const x = leaf([2]);
    const y = sum(pow(x, 2));
    y.backward({ retainGraph: true });
    y.backward();
    assert.deepEqual(x.grad?.toArray(), [8]);
    assert.throws(() => {
      y.backward();
    }, /second time/);
  });

  it('records nothing under noGrad, but again after it', () => {
    const x = leaf([1]);
    assert.equal(noGrad(() => mul(x, 2)).requiresGrad, false);
    assert.deepEqual([noGrad(isGradEnabled), isGradEnabled()], [false, true]);
    assert.throws(() => noGrad(() => assert.fail('thrown')));
    assert.equal(mul(x, 2).requiresGrad, true);
  });

  it('refuses to change a leaf in place outside of noGrad', () => {
    const x = leaf([1]);
    assert.throws(() => mul_(x, 2), /leaf/);
    noGrad(() => mul_(x, 2));
    assert.deepEqual(x.toArray(), [2]);
  });

  it('computes second derivatives', () => {
    const x = leaf([3]);
    const [first] = grad([sum(pow(x, 3))], [x], { createGraph: true });
    assert.ok(first);
    const [second, unused] = grad([sum(first)], [x, leaf([1])]);
    assert.deepEqual(first.toArray(), [27]);
    assert.deepEqual(second?.toArray(), [18]);
    assert.equal(unused, null);
    assert.equal(x.grad, null);
  });

  it('goes back from several results at once', () => {
    const x = leaf([2, 3]);
    backward([mul(x, 2), sum(exp(mul(x, 0)))], [tensor([1, 10]), null]);
    assert.deepEqual(x.grad?.toArray(), [2, 20]);
  });
});

describe('autocast', () => {
  it('multiplies matrices in bfloat16 and gives float32 gradients', () => {
    const weight = ones([2, 3]);
    weight.requiresGrad = true;
    const x = ones([4, 3]);
    const y = autocast('bfloat16', () => linear(x, weight));
    assert.equal(y.dtype, 'bfloat16');
    sum(y).backward();
    assert.equal(weight.grad?.dtype, 'float32');
    assert.deepEqual(weight.grad.toArray(), [4, 4, 4, 4, 4, 4]);
  });

  it('ends with its body, and is turned off inside by float32', () => {
    const x = ones([2, 2]);
    autocast('bfloat16', () => {
      assert.equal(autocast('float32', () => matmul(x, x)).dtype, 'float32');
      assert.equal(matmul(x, x).dtype, 'bfloat16');
    });
    assert.throws(() => autocast('bfloat16', () => assert.fail('thrown')));
    assert.equal(matmul(x, x).dtype, 'float32');
  });

  it('leaves layer normalisation in the type of its input', () => {
    const norm = new LayerNorm({ width: 4 });
    const x = randn([2, 4], new Generator());
    autocast('bfloat16', () => {
      assert.equal(norm.forward(x).dtype, 'float32');
      assert.equal(norm.forward(to(x, { dtype: 'bfloat16' })).dtype, 'bfloat16');
    });
  });

  it('sees weights that were changed since the last time', () => {
    const weight = ones([1, 1]);
    weight.requiresGrad = true;
    const run = (): number => autocast('bfloat16', () => linear(ones([1, 1]), weight)).item();
    assert.equal(run(), 1);
    noGrad(() => mul_(weight, 3));
    assert.equal(run(), 3);
  });
});

describe('quick_gelu, the kernel of our own', () => {
  const generator = new Generator({ seed: 2 });
  const plain = (x: Tensor): Tensor => mul(x, sigmoid(mul(x, 1.702)));

  const tolerances: [FloatDType, number][] = [
    ['float32', 1e-6],
    ['float64', 1e-14],
    ['bfloat16', 0.04],
    ['float16', 0.005],
  ];
  for (const [dtype, tolerance] of tolerances) {
    it(`equals the composed operators in ${dtype}, gradient included`, () => {
      // An uneven length, more than one thread's share.
      const values = mul(randn([3, 7001], generator), 3);
      const upstream = to(randn([3, 7001], generator), { dtype });
      const [ours, theirs] = [quickGelu, plain].map((f) => {
        const x = to(values, { dtype });
        x.requiresGrad = true;
        const y = f(x);
        y.backward({ grad: upstream });
        assert.equal(y.dtype, dtype);
        return [y, x.grad ?? assert.fail()] as const;
      });
      assert.ok(ours && theirs);
      assert.ok(difference(ours[0], theirs[0]) < tolerance);
      assert.ok(difference(ours[1], theirs[1]) < tolerance);
    });
  }

  it('has the gradient of finite differences', () => {
    const x = randn([5], generator, { dtype: 'float64' });
    const weight = randn([5], generator, { dtype: 'float64' });
    assertGradients(() => sum(mul(quickGelu(x), weight)), [x]);
  });

  it('takes views that are not contiguous, and extremes', () => {
    const x = tensor([
      [-1e4, 0],
      [1e4, -200],
    ]);
    const turned = quickGelu(transpose(x, 0, 1));
    assert.ok(
      difference(
        turned,
        tensor([
          [0, 1e4],
          [0, 0],
        ]),
      ) < 1e-20,
    );
  });

  it('passes NaN on, both ways', () => {
    const x = full([40], NaN);
    x.requiresGrad = true;
    const y = quickGelu(x);
    sum(y).backward();
    assert.ok(y.toArray().every(Number.isNaN));
    assert.ok(x.grad?.toArray().every(Number.isNaN));
  });
});
