import { dims } from '../at.js';
import { isAccelerator } from '../device.js';
import { TorchError } from '../errors.js';
import { add } from '../ops/arithmetic.js';
import { gt, where } from '../ops/compare.js';
import { arange, full, zeros } from '../ops/create.js';
import { baddbmm, bmm, linear } from '../ops/matrix.js';
import { scaledDotProductAttention, shortAttention, softmax } from '../ops/neural.js';
import { linearPacked, packedRows } from '../ops/packed.js';
import { packRows, unpackRows, type Packing } from '../ops/shape.js';
import {
  expand,
  narrow,
  permute,
  reshape,
  to,
  transpose,
  triu,
  unbind,
  unsqueeze,
} from '../ops/shape.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { xavierUniformInit, zerosInit } from './init.js';
import { Int8Weight } from './inference-weights.js';
import { Linear } from './linear.js';
import type { LowRank } from './low-rank.js';
import { Module } from './module.js';
import { PackedWeight } from './inference-weights.js';
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
  /** Each token attends to itself and those before it. Default false. */
  causal?: boolean;
  /** Added to the scores: [Lq, L], or what broadcasts to [B, heads, Lq, L]. */
  mask?: Tensor | undefined;
  /** The tokens [B, Lq, W] whose output is needed; default: all of x. Keys and values are of x. */
  queries?: Tensor | undefined;
  /** Positions int64 [B, Lq] of the queries in x, for `causal` with `queries`. */
  positions?: Tensor | undefined;
  /** Added to the result: [B, Lq, W]. */
  residual?: Tensor | undefined;
  /** Bounds of the sequences in x [T, W], whose result is [T, W] too; without mask and queries. */
  packing?: Packing | undefined;
  /** Use libtorch's fused kernel. Default: if it is faster, see {@link fusedIsFaster}. */
  fused?: boolean;
}

/**
 * Forward and backward on one thread of a Sapphire Rapids: in bf16 two batched products took a sixth
 * of the fused kernel's time at 50 tokens and two thirds at 1024; in float32 both were about even up
 * to 512 tokens. From there on the memory of the products' L² scores decides.
 */
function fusedIsFaster({ device, dtype }: Tensor, length: number): boolean {
  if (isAccelerator(device)) return true;
  // libtorch has no shape kernel of the fused one.
  if (device === 'meta') return false;
  return length >= (dtype === 'bfloat16' || dtype === 'float16' ? 2048 : 512);
}

/** −∞ where a token would attend to a later one, 0 elsewhere: [Lq, L], or [B, 1, Lq, L] by positions. */
function causalMask(length: number, x: Tensor, positions: Tensor | undefined): Tensor {
  const { device } = x;
  if (positions === undefined) return triu(full([length, length], -Infinity, { device }), 1);
  const later = gt(arange(length, { device }), unsqueeze(positions, -1));
  const additiveMask = where(later, full([], -Infinity, { device }), full([], 0, { device }));
  return unsqueeze(additiveMask, 1);
}

/** softmax(q·kᵀ/√d + bias)·v as two batched products; q [B, H, Lq, d], k and v [B, H, L, d]. */
function productAttention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | undefined): Tensor {
  const [batch, heads, rows, depth] = dims(q, 4);
  const length = k.dim(2);
  const joined = (x: Tensor): Tensor => reshape(x, [batch * heads, x.dim(2), depth]);
  const added =
    bias === undefined || bias.rank <= 2
      ? bias
      : reshape(expand(bias, [batch, heads, rows, length]), [batch * heads, rows, length]);
  const scores = baddbmm(
    added ?? zeros([1, 1, 1], { dtype: q.dtype, device: q.device }),
    joined(q),
    transpose(joined(k), 1, 2),
    { beta: added === undefined ? 0 : 1, alpha: 1 / Math.sqrt(depth) },
  );
  return reshape(bmm(softmax(scores, -1), joined(v)), [batch, heads, rows, depth]);
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
  /** Trained change of a frozen {@link inProjWeight}; null: none. */
  lora: LowRank | null = null;
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

  /** q, k and v side by side: [*, W] → [*, 3·W]. */
  project(x: Tensor): Tensor {
    const { inProjWeight: weight, inProjBias: bias, lora } = this;
    if (weight instanceof PackedWeight) return linearPacked(x, { weight: weight.packed, bias });
    const y = linear(x, weight, bias);
    return lora === null ? y : lora.addTo(y, x);
  }

  /** Of q, k, v the ones from `start`, `count` of them: [B, L, count·W]. */
  #projectSome(x: Tensor, start: number, count: number): Tensor {
    const { inProjWeight: weight, inProjBias: bias, lora } = this;
    const width = x.dim(2);
    if (weight instanceof PackedWeight) {
      const packed = packedRows(weight.packed, [start * width, count * width], width);
      // In another order than Bantam's own it is read as a whole.
      if (packed === null) return narrow(this.project(x), 2, start * width, count * width);
      return linearPacked(x, {
        weight: packed,
        bias: narrow(bias, 0, start * width, count * width),
      });
    }
    const rows = (all: Tensor): Tensor => narrow(all, 0, start * width, count * width);
    const some = weight instanceof Int8Weight ? weight.rows(start, count) : rows(weight);
    const y = linear(x, some, rows(bias));
    return lora === null ? y : lora.addTo(y, x, rows(lora.b));
  }

  /** q, k and v of {@link project}, each [B, heads, L, d] as a view. */
  #split(projected: Tensor): Tensor[] {
    const [batch, length, width] = dims(projected, 3);
    const own = this.inProjWeight.dim(1);
    const shape = [batch, length, width / own, this.heads, own / this.heads];
    return unbind(reshape(projected, shape), 2).map((part) => permute(part, [0, 2, 1, 3]));
  }

  forward(x: Tensor, options: AttentionForwardOptions = {}): Tensor {
    const { causal = false, queries, positions, residual, packing } = options;
    if (causal && queries !== undefined && positions === undefined) {
      throw new TorchError('Causal attention for some queries needs their positions.');
    }
    if (packing === undefined) {
      const projected =
        queries === undefined
          ? [this.project(x)]
          : [this.#projectSome(queries, 0, 1), this.#projectSome(x, 1, 2)];
      return this.outProj.forward(this.#mix(projected, options), { residual });
    }
    const joint = unpackRows(this.project(x), packing);
    const mixed = packRows(this.#mix([joint], { causal }), packing);
    return this.outProj.forward(mixed, { residual });
  }

  /** Heads' mixtures of values, joined, [B, Lq, W], from q, k and v or from q and both others. */
  #mix(projected: readonly Tensor[], options: AttentionForwardOptions): Tensor {
    const { causal = false, mask, queries, positions } = options;
    const [joint] = projected;
    if (queries === undefined && mask === undefined && options.fused === undefined && joint) {
      const mixed = shortAttention(joint, { heads: this.heads, causal });
      if (mixed !== null) return mixed;
    }
    const [q, k, v] = projected.flatMap((part) => this.#split(part)) as [Tensor, Tensor, Tensor];
    const length = k.dim(2);
    const past = causal ? causalMask(length, q, queries && positions) : undefined;
    const total = past && mask ? add(past, mask) : (past ?? mask);
    const bias = total && to(total, { dtype: q.dtype });
    const { fused = fusedIsFaster(q, length) } = options;
    const mixed = fused
      ? scaledDotProductAttention(q, k, v, { mask: bias ?? null })
      : productAttention(q, k, v, bias);
    return reshape(permute(mixed, [0, 2, 1, 3]), [q.dim(0), q.dim(2), this.heads * q.dim(3)]);
  }
}
