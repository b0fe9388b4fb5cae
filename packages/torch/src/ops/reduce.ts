/** Sums, extremes, order and norms over dimensions. */
import { dtypeCode, type FloatDType } from '../dtype.js';
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

/** Dimensions of a reduction (default: all); with `keepdim` they stay with length 1. */
export interface ReduceOptions {
  dim?: number | readonly number[];
  keepdim?: boolean;
}

const sumOp = new Operator('aten::sum', 'dim_IntList');
const meanOp = new Operator('aten::mean', 'dim');
const varOp = new Operator('aten::var', 'correction');
const amaxOp = new Operator('aten::amax');
const aminOp = new Operator('aten::amin');
const argmaxOp = new Operator('aten::argmax');
const topkOp = new Operator('aten::topk');
const sortOp = new Operator('aten::sort', 'stable');
const cumsumOp = new Operator('aten::cumsum');
const logsumexpOp = new Operator('aten::logsumexp');
const normOp = new Operator('aten::linalg_vector_norm');
const allOp = new Operator('aten::all');
const anyOp = new Operator('aten::any');

function dims(dim: number | readonly number[] | undefined): readonly number[] | null {
  return dim === undefined ? null : typeof dim === 'number' ? [dim] : dim;
}

/** Σ x */
export function sum(x: Tensor, { dim, keepdim = false }: ReduceOptions = {}): Tensor {
  return sumOp.tensor(x, dims(dim), keepdim);
}

/** The mean */
export function mean(x: Tensor, { dim, keepdim = false }: ReduceOptions = {}): Tensor {
  return meanOp.tensor(x, dims(dim), keepdim);
}

/** The variance Σ(x − mean)²/(n − correction); correction 1 by default (unbiased). */
export function variance(
  x: Tensor,
  { dim, keepdim = false, correction = 1 }: ReduceOptions & { correction?: number } = {},
): Tensor {
  return varOp.tensor(x, dims(dim), correction, keepdim);
}

/** The largest element */
export function max(x: Tensor, { dim, keepdim = false }: ReduceOptions = {}): Tensor {
  return amaxOp.tensor(x, dims(dim) ?? [], keepdim);
}

/** The smallest element */
export function min(x: Tensor, { dim, keepdim = false }: ReduceOptions = {}): Tensor {
  return aminOp.tensor(x, dims(dim) ?? [], keepdim);
}

/** The index of the largest element along `dim` (the first of equals), or in the flattened tensor. */
export function argmax(
  x: Tensor,
  { dim, keepdim = false }: { dim?: number; keepdim?: boolean } = {},
): Tensor {
  return argmaxOp.tensor(x, dim ?? null, keepdim);
}

/** Values and indices. */
export interface Ranked {
  values: Tensor;
  indices: Tensor;
}

/** The k largest elements along `dim`, in falling order; the order of equals is not defined. */
export function topk(x: Tensor, k: number, { dim = -1 }: { dim?: number } = {}): Ranked {
  const [values, indices] = topkOp.tensors(x, k, dim, true, true) as [Tensor, Tensor];
  return { values, indices };
}

/** The elements along `dim` in order; equals keep their order. */
export function sort(
  x: Tensor,
  { dim = -1, descending = false }: { dim?: number; descending?: boolean } = {},
): Ranked {
  const [values, indices] = sortOp.tensors(x, true, dim, descending) as [Tensor, Tensor];
  return { values, indices };
}

/** Running sums along `dim` */
export function cumsum(x: Tensor, dim: number): Tensor {
  return cumsumOp.tensor(x, dim);
}

/** ln Σ eˣ along `dim`, without overflow */
export function logsumexp(
  x: Tensor,
  { dim, keepdim = false }: { dim: number; keepdim?: boolean },
): Tensor {
  return logsumexpOp.tensor(x, [dim], keepdim);
}

/** The L2 norm √Σx² */
export function norm(
  x: Tensor,
  { dim, keepdim = false, dtype }: ReduceOptions & { dtype?: FloatDType } = {},
): Tensor {
  const code = dtype === undefined ? null : dtypeCode(dtype);
  return normOp.tensor(x, 2, dims(dim), keepdim, code);
}

/** True if all elements are true (a boolean scalar) */
export function all(x: Tensor): Tensor {
  return allOp.tensor(x);
}

/** True if any element is true (a boolean scalar) */
export function any(x: Tensor): Tensor {
  return anyOp.tensor(x);
}
