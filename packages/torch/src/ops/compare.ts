/** Comparisons, selection by condition, and checks. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const eqTensor = new Operator('aten::eq', 'Tensor');
const eqScalar = new Operator('aten::eq', 'Scalar');
const neTensor = new Operator('aten::ne', 'Tensor');
const neScalar = new Operator('aten::ne', 'Scalar');
const gtTensor = new Operator('aten::gt', 'Tensor');
const gtScalar = new Operator('aten::gt', 'Scalar');
const geTensor = new Operator('aten::ge', 'Tensor');
const geScalar = new Operator('aten::ge', 'Scalar');
const ltTensor = new Operator('aten::lt', 'Tensor');
const ltScalar = new Operator('aten::lt', 'Scalar');
const leTensor = new Operator('aten::le', 'Tensor');
const leScalar = new Operator('aten::le', 'Scalar');
const andOp = new Operator('aten::logical_and');
const orOp = new Operator('aten::logical_or');
const whereOp = new Operator('aten::where', 'self');
const maskedFillScalar = new Operator('aten::masked_fill', 'Scalar');
const isFiniteOp = new Operator('aten::isfinite');
const equalOp = new Operator('aten::equal');

/** a = b, element by element */
export function eq(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? eqScalar.tensor(a, b) : eqTensor.tensor(a, b);
}

/** a ≠ b */
export function ne(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? neScalar.tensor(a, b) : neTensor.tensor(a, b);
}

/** a > b */
export function gt(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? gtScalar.tensor(a, b) : gtTensor.tensor(a, b);
}

/** a ≥ b */
export function ge(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? geScalar.tensor(a, b) : geTensor.tensor(a, b);
}

/** a < b */
export function lt(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? ltScalar.tensor(a, b) : ltTensor.tensor(a, b);
}

/** a ≤ b */
export function le(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? leScalar.tensor(a, b) : leTensor.tensor(a, b);
}

/** a and b */
export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return andOp.tensor(a, b);
}

/** a or b */
export function logicalOr(a: Tensor, b: Tensor): Tensor {
  return orOp.tensor(a, b);
}

/** a where the condition holds, else b */
export function where(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  return whereOp.tensor(condition, a, b);
}

/** x with `value` where the mask holds */
export function maskedFill(x: Tensor, mask: Tensor, value: number): Tensor {
  return maskedFillScalar.tensor(x, mask, value);
}

/** True for each element that is neither infinite nor NaN */
export function isFinite(x: Tensor): Tensor {
  return isFiniteOp.tensor(x);
}

/** True if two tensors have the same shape and the same elements, bit patterns of NaN aside. */
export function equal(a: Tensor, b: Tensor): boolean {
  return equalOp.boolean(a, b);
}
