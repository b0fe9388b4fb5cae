/** The operators of neural networks. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import type { Generator } from '../random.js';
import { clamp, div, mul } from './arithmetic.js';
import { bernoulli } from './random.js';
import { norm } from './reduce.js';

const softmaxOp = new Operator('aten::softmax', 'int');
const logSoftmaxOp = new Operator('aten::log_softmax', 'int');
const reluOp = new Operator('aten::relu');
const geluOp = new Operator('aten::gelu');
const quickGeluOp = new Operator('bantam::quick_gelu');
const embeddingOp = new Operator('aten::embedding');
const crossEntropyOp = new Operator('aten::cross_entropy_loss');
const shortAttentionOp = new Operator('bantam::attention');
const shortAttentionAppliesOp = new Operator('bantam::attention_applies');
const attentionOp = new Operator('aten::scaled_dot_product_attention');

/** eˣ/Σeˣ along `dim` */
export function softmax(x: Tensor, dim: number): Tensor {
  return softmaxOp.tensor(x, dim, null);
}

/** x − ln Σeˣ along `dim` */
export function logSoftmax(x: Tensor, dim: number): Tensor {
  return logSoftmaxOp.tensor(x, dim, null);
}

/** max(x, 0) */
export function relu(x: Tensor): Tensor {
  return reluOp.tensor(x);
}

/** x·Φ(x): `none` with the error function, `tanh` its approximation ½x(1 + tanh(√(2/π)(x + 0.044715x³))). */
export function gelu(
  x: Tensor,
  { approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {},
): Tensor {
  return geluOp.tensor(x, approximate);
}

/** x·σ(1.702·x), the activation of OpenAI's CLIP models; one pass over memory by a kernel of our own. */
export function quickGelu(x: Tensor): Tensor {
  return quickGeluOp.tensor(x);
}

/** Rows of `weight` [entries, width] by int64 `ids` [*] → [*, width] */
export function embedding(weight: Tensor, ids: Tensor): Tensor {
  return embeddingOp.tensor(weight, ids);
}

/** Zeroes each element with probability p and scales the others by 1/(1 − p). */
export function dropout(x: Tensor, p: number, generator: Generator): Tensor {
  if (p === 0) return x;
  return mul(x, div(bernoulli(x, 1 - p, generator), 1 - p));
}

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions {
  /** Fraction of the target's weight that is spread over all classes. */
  labelSmoothing?: number;
  reduction?: 'mean' | 'sum' | 'none';
}

/** −Σ target·logSoftmax(logits): logits [N, C], targets class numbers int64 [N] or probabilities [N, C]. */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  { labelSmoothing = 0, reduction = 'mean' }: CrossEntropyOptions = {},
): Tensor {
  const code = { none: 0, mean: 1, sum: 2 }[reduction];
  return crossEntropyOp.tensor(logits, target, null, code, -100, labelSmoothing);
}

/** x/max(‖x‖₂, eps) along `dim` */
export function normalize(
  x: Tensor,
  { dim = -1, eps = 1e-12 }: { dim?: number; eps?: number } = {},
): Tensor {
  return div(x, clamp(norm(x, { dim, keepdim: true }), { min: eps }));
}

/** Options of {@link shortAttention}. */
export interface ShortAttentionOptions {
  heads: number;
  /** Each token attends to itself and those before it. */
  causal: boolean;
}

/**
 * softmax(q·kᵀ/√d)·v per head from the joint projection [B, L, 3·W] of q, k and v → [B, L, W]: a
 * kernel of our own that keeps a head in the caches, or null where it does not apply. In bfloat16 it needs
 * AMX or AVX512-BF16, and heads whose depth is a multiple of 32; in float32, without gradients alone, AVX2
 * and a multiple of 16; both up to 512 tokens.
 */
export function shortAttention(
  qkv: Tensor,
  { heads, causal }: ShortAttentionOptions,
): Tensor | null {
  if (!shortAttentionAppliesOp.boolean(qkv, heads)) return null;
  return shortAttentionOp.tensor(qkv, heads, causal);
}

/** Options of {@link scaledDotProductAttention}. */
export interface AttentionOptions {
  /** Added to the scores, or boolean: true where attention is allowed. */
  mask?: Tensor | null;
  causal?: boolean;
  /** Multiplier of the scores; default 1/√d. */
  scale?: number;
}

/** softmax(q·kᵀ·scale + mask)·v with q, k, v [*, length, d], by libtorch's fused kernel. */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { mask = null, causal = false, scale }: AttentionOptions = {},
): Tensor {
  return attentionOp.tensor(q, k, v, mask, 0, causal, scale ?? null);
}
