/** Element-wise arithmetic and functions, with broadcasting as in NumPy. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const addTensor = new Operator('aten::add', 'Tensor');
const addScalar = new Operator('aten::add', 'Scalar');
const subTensor = new Operator('aten::sub', 'Tensor');
const subScalar = new Operator('aten::sub', 'Scalar');
const mulTensor = new Operator('aten::mul', 'Tensor');
const mulScalar = new Operator('aten::mul', 'Scalar');
const divTensor = new Operator('aten::div', 'Tensor');
const divScalar = new Operator('aten::div', 'Scalar');
const powTensor = new Operator('aten::pow', 'Tensor_Scalar');
const negOp = new Operator('aten::neg');
const absOp = new Operator('aten::abs');
const sqrtOp = new Operator('aten::sqrt');
const rsqrtOp = new Operator('aten::rsqrt');
const expOp = new Operator('aten::exp');
const logOp = new Operator('aten::log');
const tanhOp = new Operator('aten::tanh');
const sigmoidOp = new Operator('aten::sigmoid');
const softplusOp = new Operator('aten::softplus');
const floorOp = new Operator('aten::floor');
const clampOp = new Operator('aten::clamp');
const lerpOp = new Operator('aten::lerp', 'Scalar');

/** a + b */
export function add(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? addScalar.tensor(a, b) : addTensor.tensor(a, b);
}

/** a − b */
export function sub(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? subScalar.tensor(a, b) : subTensor.tensor(a, b);
}

/** a · b, element by element */
export function mul(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? mulScalar.tensor(a, b) : mulTensor.tensor(a, b);
}

/** a / b */
export function div(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? divScalar.tensor(a, b) : divTensor.tensor(a, b);
}

/** xᵉ */
export function pow(x: Tensor, exponent: number): Tensor {
  return powTensor.tensor(x, exponent);
}

/** −x */
export function neg(x: Tensor): Tensor {
  return negOp.tensor(x);
}

/** |x| */
export function abs(x: Tensor): Tensor {
  return absOp.tensor(x);
}

/** √x */
export function sqrt(x: Tensor): Tensor {
  return sqrtOp.tensor(x);
}

/** 1/√x */
export function rsqrt(x: Tensor): Tensor {
  return rsqrtOp.tensor(x);
}

/** eˣ */
export function exp(x: Tensor): Tensor {
  return expOp.tensor(x);
}

/** ln x */
export function log(x: Tensor): Tensor {
  return logOp.tensor(x);
}

/** tanh x */
export function tanh(x: Tensor): Tensor {
  return tanhOp.tensor(x);
}

/** σ(x) = 1/(1 + e⁻ˣ) */
export function sigmoid(x: Tensor): Tensor {
  return sigmoidOp.tensor(x);
}

/** ln(1 + eˣ), without overflow */
export function softplus(x: Tensor): Tensor {
  return softplusOp.tensor(x);
}

/** ⌊x⌋ */
export function floor(x: Tensor): Tensor {
  return floorOp.tensor(x);
}

/** x limited to [min, max]; either bound may be left out. */
export function clamp(x: Tensor, { min, max }: { min?: number; max?: number }): Tensor {
  return clampOp.tensor(x, min ?? null, max ?? null);
}

/** a + weight·(b − a) */
export function lerp(a: Tensor, b: Tensor, weight: number): Tensor {
  return lerpOp.tensor(a, b, weight);
}
