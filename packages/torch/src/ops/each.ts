/** Operators over lists of tensors, one native call for all; under `noGrad` for parameters. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const addScalar = new Operator('aten::_foreach_add_', 'Scalar');
const addList = new Operator('aten::_foreach_add_', 'List');
const addTensor = new Operator('aten::_foreach_add_', 'Tensor');
const clampMin = new Operator('aten::_foreach_clamp_min_', 'Scalar');
const copyList = new Operator('aten::_foreach_copy_');
const divList = new Operator('aten::_foreach_div', 'List');
const divListInPlace = new Operator('aten::_foreach_div_', 'List');
const lerp = new Operator('aten::_foreach_lerp', 'Scalar');
const lerpScalar = new Operator('aten::_foreach_lerp_', 'Scalar');
const lerpList = new Operator('aten::_foreach_lerp_', 'List');
const mulList = new Operator('aten::_foreach_mul', 'List');
const mulScalar = new Operator('aten::_foreach_mul_', 'Scalar');
const mulTensor = new Operator('aten::_foreach_mul_', 'Tensor');
const mulListInPlace = new Operator('aten::_foreach_mul_', 'List');
const mulScalars = new Operator('aten::_foreach_mul_', 'ScalarList');
const norms = new Operator('aten::_foreach_norm', 'Scalar');
const pow = new Operator('aten::_foreach_pow', 'Scalar');
const rsqrt = new Operator('aten::_foreach_rsqrt');
const rsqrtInPlace = new Operator('aten::_foreach_rsqrt_');
const sign = new Operator('aten::_foreach_sign_');

type Tensors = readonly Tensor[];

function areNumbers(list: readonly (Tensor | number)[]): list is readonly number[] {
  return typeof list[0] === 'number';
}

function isTensor(value: Tensor | Tensors | readonly number[]): value is Tensor {
  return !Array.isArray(value);
}

/**
 * x ← x + alpha·value for every tensor of a list, the value a number or a scalar tensor; or x ← x + alpha·y
 * for every pair of two
 */
export function addEach_(x: Tensors, y: Tensors | Tensor | number, alpha = 1): void {
  if (typeof y === 'number') addScalar.inPlace(x, y * alpha);
  else if (isTensor(y)) addTensor.inPlace(x, y, alpha);
  else addList.inPlace(x, y, alpha);
}

/** x ← max(x, min) */
export function clampMinEach_(x: Tensors, min: number): void {
  clampMin.inPlace(x, min);
}

/** x ← y, converted to x's type */
export function copyEach_(x: Tensors, y: Tensors): void {
  copyList.inPlace(x, y);
}

/** x / y */
export function divEach(x: Tensors, y: Tensors): Tensor[] {
  return divList.tensors(x, y);
}

/** x ← x / y */
export function divEach_(x: Tensors, y: Tensors): void {
  divListInPlace.inPlace(x, y);
}

/** a + weight·(b − a) */
export function lerpEach(a: Tensors, b: Tensors, weight: number): Tensor[] {
  return lerp.tensors(a, b, weight);
}

/** a ← a + weight·(b − a); one weight, or one for every pair */
export function lerpEach_(a: Tensors, b: Tensors, weight: Tensors | number): void {
  if (typeof weight === 'number') lerpScalar.inPlace(a, b, weight);
  else lerpList.inPlace(a, b, weight);
}

/** x · y */
export function mulEach(x: Tensors, y: Tensors): Tensor[] {
  return mulList.tensors(x, y);
}

/** x ← x·factor; one factor, or one for every tensor */
export function mulEach_(x: Tensors, factor: Tensor | number | Tensors | readonly number[]): void {
  if (typeof factor === 'number') mulScalar.inPlace(x, factor);
  else if (isTensor(factor)) mulTensor.inPlace(x, factor);
  else if (areNumbers(factor)) mulScalars.inPlace(x, factor);
  else mulListInPlace.inPlace(x, factor);
}

/** The L2 norm */
export function normEach(x: Tensors): Tensor[] {
  return norms.tensors(x, 2);
}

/** xᵉ */
export function powEach(x: Tensors, exponent: number): Tensor[] {
  return pow.tensors(x, exponent);
}

/** 1/√x */
export function rsqrtEach(x: Tensors): Tensor[] {
  return rsqrt.tensors(x);
}

/** x ← 1/√x */
export function rsqrtEach_(x: Tensors): void {
  rsqrtInPlace.inPlace(x);
}

/** x ← sign(x) */
export function signEach_(x: Tensors): void {
  sign.inPlace(x);
}
