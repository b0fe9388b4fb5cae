import {
  add,
  addmm_,
  cat,
  matmul,
  mul,
  narrow,
  scope,
  sum,
  transpose,
  zerosLike,
  type Tensor,
} from '@bantam/torch';
import { withGradients } from './logits.js';
import type { Block } from './options.js';

/** A function of a block of logits, and its gradient with respect to each of them. */
export interface OfLogits {
  /** A scalar. */
  readonly value: Tensor;
  readonly gradient: Tensor;
}

/**
 * Σ over blocks of rows of a function of the logits s·A·Bᵀ [length, B], of which no block outlives its
 * turn. The gradients with respect to A, B and s are s·G·B, s·Gᵀ·A and Σ⟨a_i, (G·B)_i⟩, G the function's.
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
