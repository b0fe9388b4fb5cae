import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  add,
  fromTypedArray,
  ones,
  Operator,
  tensor,
  to,
  transpose,
  zeros,
  type DType,
} from './index.js';

describe('Tensor', () => {
  it('knows its shape, type and place', () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    assert.deepEqual(x.shape, [2, 3]);
    assert.deepEqual([x.rank, x.size, x.dim(-1), x.dtype, x.device], [2, 6, 3, 'float32', 'cpu']);
    assert.equal(String(x), 'Tensor(float32[2, 3])');
    assert.equal(transpose(x, 0, 1).isContiguous, false);
    assert.throws(() => x.dim(2), { name: 'TorchError', message: /Dimension 2/ });
    assert.throws(() => x.item(), { name: 'TorchError', message: /one element/ });
  });

  const samples: [DType, number[]][] = [
    ['float32', [1.5, -2]],
    ['float64', [0.1, 1e300]],
    ['float16', [1.5, -65504]],
    ['bfloat16', [1.5, -256]],
    ['int64', [2 ** 40, -1]],
    ['int32', [2 ** 31 - 1, -1]],
    ['int16', [32767, -1]],
    ['int8', [127, -128]],
    ['uint8', [255, 0]],
    ['bool', [1, 0]],
  ];
  for (const [dtype, values] of samples) {
    it(`holds ${dtype}, there and back through a typed array`, () => {
      const x = tensor(values, { dtype });
      assert.equal(x.dtype, dtype);
      assert.deepEqual(x.toArray(), values);
      const copy = fromTypedArray(x.toTypedArray(), { dtype, shape: [2, 1] });
      assert.deepEqual(copy.shape, [2, 1]);
      assert.deepEqual(copy.toArray(), values);
      assert.deepEqual(to(x, { dtype: 'float64' }).toArray(), values);
    });
  }

  it('shares the memory of a typed array where it is asked to', () => {
    const array = Float32Array.of(1, 2);
    const shared = fromTypedArray(array, { copy: false });
    const copied = fromTypedArray(array);
    array[0] = 9;
    assert.deepEqual(shared.toArray(), [9, 2]);
    assert.deepEqual(copied.toArray(), [1, 2]);
    const bytes = new Uint8Array(new SharedArrayBuffer(2));
    const view = fromTypedArray(bytes, { copy: false });
    bytes[1] = 7;
    assert.deepEqual(view.toArray(), [0, 7]);
  });

  it('refuses shapes that do not match the data', () => {
    assert.throws(() => fromTypedArray(new Float32Array(3), { shape: [2] }), /12 bytes/);
    assert.throws(() => tensor([[1, 2], [3]]), /bytes/);
  });
});

describe('Operator', () => {
  it('reaches any operator by name, and tells its schema', () => {
    const cosh = new Operator('aten::cosh');
    assert.deepEqual(cosh.tensor(zeros([2])).toArray(), [1, 1]);
    assert.match(cosh.schema, /^aten::cosh\(Tensor self\) -> Tensor/);
  });

  it('names what is wrong', () => {
    assert.throws(() => new Operator('aten::nonsense').tensor(), /no operator aten::nonsense/);
    assert.throws(() => add(ones([2]), ones([3])), /aten::add.*size of tensor a \(2\)/s);
    assert.throws(() => new Operator('aten::tril').tensor(ones([2]), 'x'), /'diagonal'.*number/);
    assert.throws(() => new Operator('aten::tril').tensor(), /'self'.*missing/);
    assert.throws(() => new Operator('aten::neg').tensor(ones([1]), 1, 2), /takes 1 arguments/);
  });
});
