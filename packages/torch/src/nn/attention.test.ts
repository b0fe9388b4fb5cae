import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertGradients, difference } from '../fixture.test.helper.js';
import {
  autocast,
  clone,
  expand,
  gather,
  Generator,
  grad,
  MultiheadAttention,
  mul,
  noGrad,
  randn,
  sum,
  tensor,
  to,
  unsqueeze,
  copy_,
  type AttentionForwardOptions,
  type Tensor,
} from '../index.js';

const generator = new Generator({ seed: 5 });
const width = 12;
const attention = new MultiheadAttention({ width, heads: 3, generator });
const x = randn([2, 5, width], generator);
noGrad(() => copy_(attention.inProjBias, randn([3 * width], generator)));

/** Output and the gradient of ⟨output, g⟩ with respect to the input. */
function both(options: AttentionForwardOptions, g: Tensor): [Tensor, Tensor] {
  const leaf = clone(x);
  leaf.requiresGrad = true;
  const y = attention.forward(leaf, options);
  const [dx] = grad([sum(mul(y, g))], [leaf]);
  assert.ok(dx);
  return [y, dx];
}

describe('MultiheadAttention', () => {
  const g = randn([2, 5, width], generator);
  const mask = randn([5, 5], generator);
  const options: Record<string, AttentionForwardOptions> = {
    plain: {},
    causal: { causal: true },
    'with a mask': { mask },
    'causal with a mask per head': { causal: true, mask: randn([2, 3, 5, 5], generator) },
  };
  for (const [what, option] of Object.entries(options)) {
    it(`two products equal libtorch's fused kernel: ${what}`, () => {
      const [y, dy] = both({ ...option, fused: false }, g);
      const [z, dz] = both({ ...option, fused: true }, g);
      assert.ok(difference(y, z) < 1e-5);
      assert.ok(difference(dy, dz) < 1e-5);
    });
  }

  for (const causal of [false, true]) {
    it(`some queries give the rows of all, ${causal ? 'causal' : 'plain'}`, () => {
      const positions = tensor([[4], [1]], { dtype: 'int64' });
      const take = (rows: Tensor): Tensor =>
        gather(rows, 1, expand(unsqueeze(positions, -1), [-1, -1, width]));
      const all = attention.forward(x, { causal });
      const some = attention.forward(x, { causal, queries: take(x), positions });
      assert.ok(difference(some, take(all)) < 1e-6);
    });
  }

  it('needs the positions of causal queries', () => {
    assert.throws(() => attention.forward(x, { causal: true, queries: x }), {
      name: 'TorchError',
      message: /needs their positions/,
    });
  });

  it('is causal: a later token changes nothing before it', () => {
    const changed = clone(x);
    const before = attention.forward(x, { causal: true }).toArray();
    noGrad(() => copy_(changed, mul(x, tensor([[[1], [1], [1], [1], [9]]]))));
    const after = attention.forward(changed, { causal: true }).toArray();
    assert.deepEqual(after.slice(0, 4 * width), before.slice(0, 4 * width));
    assert.notDeepEqual(after.slice(4 * width, 5 * width), before.slice(4 * width, 5 * width));
  });

  it('computes in bfloat16 under autocast, near to float32', () => {
    const exact = attention.forward(x, { causal: true });
    const half = autocast('bfloat16', () => attention.forward(x, { causal: true }));
    assert.equal(half.dtype, 'bfloat16');
    assert.ok(difference(to(half, { dtype: 'float32' }), exact) < 0.05);
  });

  it('has the gradients of finite differences in float64', () => {
    const wide = new MultiheadAttention({ width: 4, heads: 2, generator }).to('float64');
    const input = randn([1, 3, 4], generator, { dtype: 'float64' });
    const weight = randn([1, 3, 4], generator, { dtype: 'float64' });
    const loss = (): Tensor => sum(mul(wide.forward(input, { causal: true }), weight));
    assertGradients(loss, [input, ...wide.parameters()]);
  });

  it('refuses a width that its heads do not divide', () => {
    assert.throws(() => new MultiheadAttention({ width: 10, heads: 3, generator }), {
      name: 'TorchError',
      message: /width 10 cannot be split into 3 heads/,
    });
  });
});
