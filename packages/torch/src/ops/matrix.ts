/** Matrix products. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { linearInt8, type Int8Rows } from './int8.js';

const matmulOp = new Operator('aten::matmul');
const bmmOp = new Operator('aten::bmm');
const linearOp = new Operator('bantam::linear');
const baddbmmOp = new Operator('aten::baddbmm');

/** a·b over the last two dimensions, the others broadcast. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  return matmulOp.tensor(a, b);
}

/** One product per entry of the batch: [n, i, k] · [n, k, j] → [n, i, j] */
export function bmm(a: Tensor, b: Tensor): Tensor {
  return bmmOp.tensor(a, b);
}

/** Options of {@link linear}. */
export interface LinearOpOptions {
  /** Added to the result: [*, out]. */
  residual?: Tensor | undefined;
}

/** x·Wᵀ + b with x [*, in], W [out, in], b [out] → [*, out]; see {@link linearInt8} for int8. */
export function linear(
  x: Tensor,
  weight: Tensor | Int8Rows,
  bias?: Tensor | null,
  { residual }: LinearOpOptions = {},
): Tensor {
  if ('parts' in weight) return linearInt8(x, weight, bias ?? null, residual);
  return linearOp.tensor(x, weight, bias ?? null, residual);
}

/** beta·c + alpha·a·b per entry of the batch, c broadcast to [n, i, j]; with beta 0, c is not read. */
export function baddbmm(
  c: Tensor,
  a: Tensor,
  b: Tensor,
  { beta = 1, alpha = 1 }: { beta?: number; alpha?: number } = {},
): Tensor {
  return baddbmmOp.tensor(c, a, b, beta, alpha);
}
