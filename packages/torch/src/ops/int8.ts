/** Products with int8 weights, for inference. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { abs, div } from './arithmetic.js';
import { eq, where } from './compare.js';
import { onesLike } from './create.js';
import { max } from './reduce.js';
import { squeeze, to } from './shape.js';

const roundOp = new Operator('aten::round');
const hasProductsOp = new Operator('bantam::has_int8_products');
const packOp = new Operator('bantam::pack_int8');
const linearOp = new Operator('bantam::linear_int8');
const mlpOp = new Operator('bantam::mlp_int8');

/** Rows of a weight in int8: W ≈ scale·p. */
export interface Int8Rows {
  /** int8, one below the other [outᵢ, in], each perhaps in the order of {@link packInt8}. */
  readonly parts: readonly Tensor[];
  /** float32 [Σ outᵢ] */
  readonly scale: Tensor;
}

/** True if there are fast products of int8 for the CPU: from AVX2 on. */
export function hasInt8Products(): boolean {
  return hasProductsOp.boolean();
}

/**
 * W [out, in] in int8 with one scale per row, symmetric about 0: p = round(W / t) with
 * t = max|W| / 127 (Jacob et al. 2018, arXiv:1712.05877, eq. 1 with zero-point 0). An error is at
 * most t/2. A row of zeros has the scale 1, one that is not finite gives no finite products.
 */
export function quantizeRows(weight: Tensor): { values: Tensor; scale: Tensor } {
  const wide = to(weight, { dtype: 'float32' });
  const most = div(max(abs(wide), { dim: 1, keepdim: true }), 127);
  const scale = where(eq(most, 0), onesLike(most), most);
  const values = to(roundOp.tensor(div(wide, scale)), { dtype: 'int8' });
  return { values, scale: squeeze(scale, 1) };
}

/**
 * An int8 matrix in the memory layout that is fastest on the CPU; on CPUs without
 * {@link hasInt8Products} the matrix itself. Only these operators can read the result.
 */
export function packInt8(values: Tensor): Tensor {
  return packOp.tensor(values);
}

/**
 * x·Wᵀ + b (+ residual) with W in int8 and each row of x brought to int8 as it comes:
 * y = s·t·(q·pᵀ) + b with q = round(x / s), s = max|x| / 127 over the row, and W's t and p of
 * {@link quantizeRows} (Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, section 3.1, vector-wise
 * quantization). Rows that are not finite give NaN, those
 * below 1e-30 the bias. It has no gradients.
 *
 * @param x - [*, in] float32 or bfloat16.
 * @returns [*, out] in the type that {@link linear} gives.
 */
export function linearInt8(
  x: Tensor,
  { parts, scale }: Int8Rows,
  bias: Tensor | null,
  residual?: Tensor,
): Tensor {
  return linearOp.tensor(x, parts, scale, bias, residual);
}

/** Inputs of {@link mlpInt8}: two layers, the activation's number, and what is added. */
export interface MlpInt8Input {
  readonly first: { readonly weight: Int8Rows; readonly bias: Tensor | null };
  readonly second: { readonly weight: Int8Rows; readonly bias: Tensor | null };
  readonly activation: number;
  readonly residual: Tensor | undefined;
}

/** Two {@link linearInt8} with an activation between; the hidden activations stay in the caches. */
export function mlpInt8(x: Tensor, { first, second, activation, residual }: MlpInt8Input): Tensor {
  return mlpOp.tensor(
    x,
    first.weight.parts[0],
    first.weight.scale,
    first.bias,
    second.weight.parts[0],
    second.weight.scale,
    second.bias,
    residual,
    activation,
  );
}
