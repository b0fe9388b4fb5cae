import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  all,
  any,
  arange,
  argmax,
  baddbmm,
  bmm,
  cat,
  chunk,
  clamp,
  cumsum,
  div,
  embedding,
  equal,
  expand,
  eye,
  flatten,
  flip,
  full,
  gather,
  gt,
  index,
  indexAdd,
  indexSelect,
  isFinite,
  lerp,
  lerpEach_,
  linear,
  logsumexp,
  maskedFill,
  matmul,
  max,
  mean,
  min,
  narrow,
  ne,
  nonzero,
  norm,
  normEach,
  onDevice,
  ones,
  pad,
  permute,
  pow,
  repeatInterleave,
  reshape,
  select,
  slice,
  sort,
  split,
  squeeze,
  stack,
  sub,
  sum,
  tensor,
  topk,
  transpose,
  triu,
  unbind,
  unsqueeze,
  variance,
  viewAs,
  where,
  zeros,
  type Tensor,
} from '../index.js';

const x = tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const ids = (values: number[]): Tensor => tensor(values, { dtype: 'int64' });

/** Results of each call: values in row-major order, and the shape if it is not obvious. */
const samples: Record<string, [Tensor, number[], number[]?]> = {
  'sub broadcasts': [sub(x, tensor([1, 1, 2])), [0, 1, 1, 3, 4, 4]],
  div: [div(x, 2), [0.5, 1, 1.5, 2, 2.5, 3]],
  pow: [pow(x, 2), [1, 4, 9, 16, 25, 36]],
  clamp: [clamp(x, { min: 2, max: 5 }), [2, 2, 3, 4, 5, 5]],
  lerp: [lerp(zeros([1]), ones([1]), 0.25), [0.25]],
  sum: [sum(x), [21], []],
  'sum over a dimension': [sum(x, { dim: 0 }), [5, 7, 9], [3]],
  'mean, dimension kept': [mean(x, { dim: -1, keepdim: true }), [2, 5], [2, 1]],
  variance: [variance(x, { dim: 1 }), [1, 1]],
  'biased variance': [variance(x, { dim: 1, correction: 0 }), [2 / 3, 2 / 3].map(Math.fround)],
  max: [max(x, { dim: 1 }), [3, 6]],
  min: [min(x), [1], []],
  argmax: [argmax(x, { dim: 0 }), [1, 1, 1]],
  topk: [topk(x, 2).indices, [2, 1, 2, 1]],
  'sort, falling': [sort(x, { descending: true }).values, [3, 2, 1, 6, 5, 4]],
  cumsum: [cumsum(x, 1), [1, 3, 6, 4, 9, 15]],
  logsumexp: [logsumexp(full([2], 1000), { dim: 0 }), [Math.fround(1000 + Math.LN2)]],
  norm: [norm(tensor([3, 4])), [5]],
  matmul: [matmul(x, transpose(x, 0, 1)), [14, 32, 32, 77]],
  bmm: [bmm(unsqueeze(x, 0), ones([1, 3, 1])), [6, 15], [1, 2, 1]],
  baddbmm: [
    baddbmm(full([1, 1, 1], 10), unsqueeze(x, 0), ones([1, 3, 1]), { beta: 0.5, alpha: 2 }),
    [17, 35],
  ],
  linear: [linear(x, ones([1, 3]), tensor([0.5])), [6.5, 15.5]],
  embedding: [embedding(x, ids([1, 1])), [4, 5, 6, 4, 5, 6]],
  reshape: [reshape(x, [3, -1]), [1, 2, 3, 4, 5, 6], [3, 2]],
  flatten: [flatten(x), [1, 2, 3, 4, 5, 6], [6]],
  permute: [permute(x, [1, 0]), [1, 4, 2, 5, 3, 6], [3, 2]],
  squeeze: [squeeze(ones([1, 2]), 0), [1, 1], [2]],
  expand: [expand(tensor([[1], [2]]), [-1, 2]), [1, 1, 2, 2]],
  repeatInterleave: [repeatInterleave(tensor([1, 2]), 2, 0), [1, 1, 2, 2]],
  cat: [cat([x, x], 1), [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6], [2, 6]],
  stack: [stack([tensor([1, 2]), tensor([3, 4])], 1), [1, 3, 2, 4]],
  slice: [slice(x, { dim: 1, start: -2 }), [2, 3, 5, 6]],
  'slice with steps': [slice(x, { dim: 1, end: 3, step: 2 }), [1, 3, 4, 6]],
  select: [select(x, 1, 1), [2, 5]],
  narrow: [narrow(x, 1, 1, 2), [2, 3, 5, 6]],
  chunk: [chunk(x, 2, 1)[1] ?? x, [3, 6]],
  split: [split(x, [1, 2], 1)[1] ?? x, [2, 3, 5, 6]],
  unbind: [unbind(x, 1)[2] ?? x, [3, 6], [2]],
  indexSelect: [indexSelect(x, 1, ids([2, 0])), [3, 1, 6, 4]],
  'indexAdd, a place twice': [indexAdd(x, 0, ids([1, 1]), x), [1, 2, 3, 9, 12, 15]],
  nonzero: [nonzero(gt(x, 4)), [1, 1, 1, 2], [2, 2]],
  gather: [gather(x, 1, reshape(ids([2, 0]), [2, 1])), [3, 4]],
  'index by rows and columns': [index(x, [ids([0, 1]), ids([2, 0])]), [3, 4]],
  flip: [flip(x, [0]), [4, 5, 6, 1, 2, 3]],
  triu: [triu(ones([2, 2]), 1), [0, 1, 0, 0]],
  pad: [pad(tensor([1]), [1, 2], 9), [9, 1, 9, 9]],
  where: [where(gt(x, 3), x, zeros([])), [0, 0, 0, 4, 5, 6]],
  maskedFill: [maskedFill(x, ne(x, 2), 0), [0, 2, 0, 0, 0, 0]],
  isFinite: [isFinite(tensor([1, Infinity, NaN])), [1, 0, 0]],
  all: [all(gt(x, 0)), [1], []],
  any: [any(gt(x, 9)), [0], []],
  arange: [arange(7, { start: 1, step: 3 }), [1, 4]],
  eye: [eye(2), [1, 0, 0, 1]],
  viewAs: [viewAs(tensor([1]), 'int32'), [0x3f800000]],
};

describe('operators', () => {
  for (const [name, [result, values, shape]] of Object.entries(samples)) {
    it(name, () => {
      assert.deepEqual(result.toArray(), values);
      if (shape !== undefined) assert.deepEqual(result.shape, shape);
    });
  }

  it('lists of tensors', () => {
    const a = [zeros([1]), zeros([2])];
    lerpEach_(a, [ones([1]), ones([2])], 0.5);
    assert.deepEqual(
      normEach(a).map((each) => each.item()),
      [0.5, Math.fround(Math.SQRT1_2)],
    );
    assert.ok(equal(a[0] ?? x, full([1], 0.5)));
    assert.ok(!equal(a[0] ?? x, full([1], 0.4)));
  });
});

it('a tensor on meta has a shape and no memory, as an operator of it', () => {
  const x = onDevice('meta', () => ones([2, 3]));
  const y = matmul(x, transpose(x, 0, 1));
  assert.deepEqual([x.device, y.device, y.shape], ['meta', 'meta', [2, 2]]);
  assert.equal(ones([1]).device, 'cpu');
});
