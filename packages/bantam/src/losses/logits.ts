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
import type { Block } from './options.js';

/** X, Y [B, D] and s of the logits s·X·Yᵀ. */
export type LogitInputs = readonly [image: Tensor, text: Tensor, scale: Tensor];

/** A factor or summand as a scalar tensor of the features' type. */
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

/** A scalar, and its gradient with respect to each input; none where none is wanted. */
export interface Computed {
  readonly value: Tensor;
  readonly gradients: readonly Tensor[];
}

/**
 * A scalar whose gradients come from its formula instead of from a recorded graph: `compute` runs
 * without one. The result is value + Σ⟨input, gradient⟩ − (the same, detached), so that its backward
 * pass hands the gradients on.
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
