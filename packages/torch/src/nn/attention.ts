import { TorchError } from '../errors.js';
import { add, mul } from '../ops/arithmetic.js';
import { gt, where } from '../ops/compare.js';
import { arange, full, zeros } from '../ops/create.js';
import { bmm, linear } from '../ops/matrix.js';
import { softmax } from '../ops/neural.js';
import {
  contiguous,
  narrow,
  permute,
  reshape,
  to,
  transpose,
  triu,
  unsqueeze,
} from '../ops/shape.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { xavierUniformInit, zerosInit } from './init.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { Parameter } from './parameter.js';

/** Options of {@link MultiheadAttention}. */
export interface MultiheadAttentionOptions {
  width: number;
  heads: number;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of {@link MultiheadAttention.forward}. */
export interface AttentionForwardOptions {
  /** Each token sees itself and those before it. Default false. */
  causal?: boolean;
  /** Added to the scores: [Lq, L], or what broadcasts to [B, heads, Lq, L]. */
  mask?: Tensor | undefined;
  /** The tokens [B, Lq, W] whose output is needed; default: all of x. Keys and values are of x. */
  queries?: Tensor | undefined;
  /** The places int64 [B, Lq] of the queries among the tokens of x: for `causal` with `queries`. */
  positions?: Tensor | undefined;
}

/** −∞ where a token would see a later one, 0 elsewhere: [Lq, L], or [B, 1, Lq, L] by positions. */
function causalMask(length: number, x: Tensor, positions: Tensor | undefined): Tensor {
  const { device } = x;
  if (positions === undefined) return triu(full([length, length], -Infinity, { device }), 1);
  const later = gt(arange(length, { device }), unsqueeze(positions, -1));
  const hidden = where(later, full([], -Infinity, { device }), full([], 0, { device }));
  return unsqueeze(hidden, 1);
}

/**
 * Multi-head self-attention (Vaswani et al. 2017, eq. 1):
 * softmax(q·kᵀ/√d + mask)·v per head, heads joined and projected; [B, L, W] → [B, Lq, W].
 *
 * Weights are named and start as PyTorch's: one Xavier-uniform matrix for q, k and v, zero biases.
 */
export class MultiheadAttention extends Module {
  inProjWeight: Parameter;
  inProjBias: Parameter;
  outProj: Linear;
  readonly heads: number;

  constructor({ width, heads, generator }: MultiheadAttentionOptions) {
    super();
    if (width % heads !== 0) {
      throw new TorchError(
        `An attention of width ${width} cannot be split into ${heads} heads; choose a divisor of the width.`,
      );
    }
    this.inProjWeight = xavierUniformInit(new Parameter(zeros([3 * width, width])), generator);
    this.inProjBias = new Parameter(zeros([3 * width]));
    this.outProj = new Linear({ inFeatures: width, outFeatures: width, generator });
    zerosInit(this.outProj.bias);
    this.heads = heads;
  }

  /** Part `part` (from `start`, of `count` widths) of q, k, v for each head: [count, B·heads, L, d]. */
  #project(x: Tensor, start: number, count: number): Tensor[] {
    const { heads } = this;
    const [batch, length, width] = x.shape as [number, number, number];
    const all = count === 3;
    const weight = all
      ? this.inProjWeight
      : narrow(this.inProjWeight, 0, start * width, count * width);
    const bias = all ? this.inProjBias : narrow(this.inProjBias, 0, start * width, count * width);
    const projected = reshape(linear(x, weight, bias), [
      batch,
      length,
      count,
      heads,
      width / heads,
    ]);
    const parts = contiguous(permute(projected, [2, 0, 3, 1, 4]));
    return Array.from({ length: count }, (_, part) =>
      reshape(narrow(parts, 0, part, 1), [batch * heads, length, width / heads]),
    );
  }

  forward(x: Tensor, options: AttentionForwardOptions = {}): Tensor {
    const { causal = false, mask, queries, positions } = options;
    if (causal && queries !== undefined && positions === undefined) {
      throw new TorchError('Causal attention for some queries needs their positions.');
    }
    const { heads } = this;
    const [batch, length, width] = x.shape as [number, number, number];
    const [q, k, v] = (
      queries === undefined
        ? this.#project(x, 0, 3)
        : [...this.#project(queries, 0, 1), ...this.#project(x, 1, 2)]
    ) as [Tensor, Tensor, Tensor];
    const rows = q.dim(1);
    let scores = bmm(mul(q, Math.sqrt(heads / width)), transpose(k, 1, 2));
    const { dtype } = scores;
    const masks = [...(causal ? [causalMask(length, x, positions)] : []), ...(mask ? [mask] : [])];
    for (const each of masks) {
      const perHead = add(reshape(scores, [batch, heads, rows, length]), to(each, { dtype }));
      scores = reshape(perHead, [batch * heads, rows, length]);
    }
    const mixed = reshape(bmm(softmax(scores, -1), v), [batch, heads, rows, width / heads]);
    return this.outProj.forward(reshape(permute(mixed, [0, 2, 1, 3]), [batch, rows, width]));
  }
}
