/** Operators that change their first argument; under `noGrad` for tensors that need gradients. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const copyOp = new Operator('aten::copy_');
const indexCopyOp = new Operator('aten::index_copy_');
const zeroOp = new Operator('aten::zero_');
const fillOp = new Operator('aten::fill_', 'Scalar');
const addTensor = new Operator('aten::add_', 'Tensor');
const addScalar = new Operator('aten::add_', 'Scalar');
const mulTensor = new Operator('aten::mul_', 'Tensor');
const mulScalar = new Operator('aten::mul_', 'Scalar');
const expOp = new Operator('aten::exp_');
const sigmoidOp = new Operator('aten::sigmoid_');
const clampOp = new Operator('aten::clamp_');
const addmmOp = new Operator('aten::addmm_');

/** x ← source, converted to x's type and broadcast to its shape */
export function copy_(x: Tensor, source: Tensor): Tensor {
  copyOp.inPlace(x, source);
  return x;
}

/** x[index[i]] ← source[i] along a dimension; the indices int64, each once. */
export function indexCopy_(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  indexCopyOp.inPlace(x, dim, index, source);
  return x;
}

/** x ← 0 */
export function zero_(x: Tensor): Tensor {
  zeroOp.inPlace(x);
  return x;
}

/** x ← value */
export function fill_(x: Tensor, value: number): Tensor {
  fillOp.inPlace(x, value);
  return x;
}

/** x ← x + other */
export function add_(x: Tensor, other: Tensor | number): Tensor {
  if (typeof other === 'number') addScalar.inPlace(x, other);
  else addTensor.inPlace(x, other);
  return x;
}

/** x ← x·other */
export function mul_(x: Tensor, other: Tensor | number): Tensor {
  if (typeof other === 'number') mulScalar.inPlace(x, other);
  else mulTensor.inPlace(x, other);
  return x;
}

/** x ← eˣ */
export function exp_(x: Tensor): Tensor {
  expOp.inPlace(x);
  return x;
}

/** x ← 1/(1 + e⁻ˣ) */
export function sigmoid_(x: Tensor): Tensor {
  sigmoidOp.inPlace(x);
  return x;
}

/** c ← c + a·b for matrices */
export function addmm_(c: Tensor, a: Tensor, b: Tensor): Tensor {
  addmmOp.inPlace(c, a, b);
  return c;
}

/** x ← x limited to [min, max] */
export function clamp_(x: Tensor, { min, max }: { min?: number; max?: number }): Tensor {
  clampOp.inPlace(x, min ?? null, max ?? null);
  return x;
}
