/** Logits block by block, and gradients that come from formulas instead of a recorded graph. */
import {
  add,
  addmm_,
  cat,
  detach,
  full,
  matmul,
  mul,
  mul_,
  narrow,
  noGrad,
  scope,
  sub,
  sum,
  transpose,
  zerosLike,
  type Tensor,
} from '@bantam/torch';
import type { Block } from './pairwise.js';

/** X, Y [B, D] and s of the logits s·X·Yᵀ. */
export type LogitInputs = readonly [image: Tensor, text: Tensor, scale: Tensor];

/** A scale or bias as a scalar tensor of the features' type. */
export function scalarLike({ dtype, device }: Tensor, value: Tensor | number): Tensor {
  return typeof value === 'number' ? full([], value, { dtype, device }) : value;
}

/** s·X·Yᵀ for a block of texts: [B, length] */
export function logitsOf([image, text, scale]: LogitInputs, { start, length }: Block): Tensor {
  return matmul(image, transpose(mul(narrow(text, 0, start, length), scale), 0, 1));
}

/**
 * The gradients with respect to X, Y and s of a function of the logits, whose own gradient G
 * [B, length] `gradientOf` gives for one block of texts after the other: s·G·Y, s·Gᵀ·X and
 * Σ⟨x_i, (G·Y)_i⟩.
 */
export function logitGradients<B extends Block>(
  [image, text, scale]: LogitInputs,
  blocks: readonly B[],
  gradientOf: (block: B) => Tensor,
): [Tensor, Tensor, Tensor] {
  const ofImage = zerosLike(image);
  const ofText = blocks.map((block) =>
    scope(() => {
      const gradient = gradientOf(block);
      addmm_(ofImage, gradient, narrow(text, 0, block.start, block.length));
      return matmul(transpose(gradient, 0, 1), image);
    }),
  );
  const ofScale = sum(mul(ofImage, image));
  return [mul_(ofImage, scale), mul_(cat(ofText), scale), ofScale];
}

/** A scalar, and its gradient with respect to each input; none if none is wanted. */
export interface Computed {
  readonly value: Tensor;
  readonly gradients: readonly Tensor[];
}

/**
 * A scalar whose gradients come from its formula instead of from a recorded graph: `compute` runs
 * without one. The result is value + Σ⟨input, gradient⟩ − (the same, detached), so that its backward
 * pass propagates the gradients.
 */
export function withGradients(
  inputs: readonly Tensor[],
  compute: (wanted: boolean) => Computed,
): Tensor {
  return scope(() => {
    const wanted = inputs.some((input) => input.requiresGrad);
    const { value, gradients } = noGrad(() => scope(() => compute(wanted)));
    return inputs.reduce((total, input, i) => {
      const gradient = gradients[i];
      if (!input.requiresGrad || gradient === undefined) return total;
      const product = sum(mul(input, gradient));
      return add(total, sub(product, detach(product)));
    }, value);
  });
}

/** A function of a block of logits, and its gradient with respect to each of them. */
export interface OfLogits {
  /** A scalar. */
  readonly value: Tensor;
  readonly gradient: Tensor;
}

/**
 * Σ over blocks of rows of a function of the logits s·A·Bᵀ [length, B], of which one block is in
 * memory at a time. The gradients with respect to A, B and s are s·G·B, s·Gᵀ·A and Σ⟨a_i, (G·B)_i⟩, G the function's.
 */
export function rowWise(
  inputs: readonly [rows: Tensor, columns: Tensor, scale: Tensor],
  blocks: readonly Block[],
  compute: (logits: Tensor, block: Block) => OfLogits,
): Tensor {
  return withGradients(inputs, (wanted) => {
    const [rows, columns, scale] = inputs;
    const ofColumns = zerosLike(columns);
    const parts = blocks.map((block) =>
      scope(() => {
        const own = narrow(rows, 0, block.start, block.length);
        const logits = matmul(mul(own, scale), transpose(columns, 0, 1));
        const { value, gradient } = compute(logits, block);
        if (!wanted) return { value };
        if (columns.requiresGrad) addmm_(ofColumns, transpose(gradient, 0, 1), own);
        return { value, ofRows: matmul(gradient, columns) };
      }),
    );
    const value = parts.map((part) => part.value).reduce((total, one) => add(total, one));
    if (!wanted) return { value, gradients: [] };
    const ofRows = cat(parts.flatMap((part) => part.ofRows ?? []));
    return {
      value,
      gradients: [mul(ofRows, scale), mul(ofColumns, scale), sum(mul(ofRows, rows))],
    };
  });
}
