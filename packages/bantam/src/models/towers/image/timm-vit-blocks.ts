/** Parts of timm's vision transformers under timm's names. */
import {
  add,
  Conv2d,
  dims,
  expand,
  LayerNorm,
  Module,
  narrow,
  Parameter,
  shortAttention,
  squeeze,
  truncatedNormalInit,
  zeros,
  type Activation,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { attend, attendFlops } from '../../blocks/attention.js';
import { embedPatches } from '../../blocks/patches.js';
import { LayerScale } from '../../blocks/residual-block.js';
import { dropPath } from '../../blocks/run-block.js';
import { timmLinear, TimmMlp } from './timm.js';

/** Multi-head attention from the joint projection of queries, keys and values: [B, L, 3·W] → [B, L, W]. */
export function attendJointly(joint: Tensor, heads: number): Tensor {
  const width = joint.dim(2) / 3;
  const part = (i: number) => narrow(joint, 2, i * width, width);
  return (
    shortAttention(joint, { heads, causal: false }) ?? attend(part(0), part(1), part(2), heads)
  );
}

/** Options of {@link TimmAttention}. */
export interface TimmAttentionOptions {
  width: number;
  heads: number;
  /** The projection to queries, keys and values has a bias. Default true. */
  qkvBias?: boolean;
  generator: Generator | null;
}

/** Multi-head self-attention. */
export class TimmAttention extends Module {
  qkv: Linear;
  proj: Linear;
  readonly heads: number;

  constructor({ width, heads, qkvBias = true, generator }: TimmAttentionOptions) {
    super();
    const outFeatures = 3 * width;
    this.qkv = timmLinear({ inFeatures: width, outFeatures, bias: qkvBias, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.heads = heads;
  }

  /** [B, L, W] → [B, L, W] */
  forward(x: Tensor): Tensor {
    return this.proj.forward(attendJointly(this.qkv.forward(x), this.heads));
  }
}

/** A block's second half: [B, L, W] → [B, L, W]. */
interface Forward extends Module {
  forward(x: Tensor): Tensor;
}

/** Options of {@link TimmBlock}. */
export interface TimmBlockOptions extends TimmAttentionOptions {
  /** Makes the second half of the block. */
  mlp: () => Forward;
  normEps: number;
  /** Initial layer scale; null (default): none. */
  layerScale?: number | null;
  /** Probability by which training skips a branch for an image. Default 0. */
  dropPath?: number;
}

/** A pre-norm residual block: y = x + γ₁·attention(LN₁x), then y + γ₂·MLP(LN₂y). */
export class TimmBlock extends Module {
  norm1: LayerNorm;
  attn: TimmAttention;
  ls1: LayerScale | null;
  norm2: LayerNorm;
  mlp: Forward;
  ls2: LayerScale | null;
  readonly #dropPath: number;

  constructor(options: TimmBlockOptions) {
    super();
    const { width, normEps: eps, layerScale: value = null, dropPath: rate = 0 } = options;
    const scale = () => (value === null ? null : new LayerScale({ width, value }));
    this.norm1 = new LayerNorm({ width, eps });
    this.attn = new TimmAttention(options);
    this.ls1 = scale();
    this.norm2 = new LayerNorm({ width, eps });
    this.mlp = options.mlp();
    this.ls2 = scale();
    this.#dropPath = rate;
  }

  forward(x: Tensor, generator?: Generator): Tensor {
    const rate = this.training ? this.#dropPath : 0;
    const branch = (y: Tensor, scale: LayerScale | null) =>
      dropPath(scale === null ? y : scale.forward(y), { rate, generator });
    const y = add(x, branch(this.attn.forward(this.norm1.forward(x)), this.ls1));
    return add(y, branch(this.mlp.forward(this.norm2.forward(y)), this.ls2));
  }
}

/** Options of {@link PatchProjection}. */
export interface PatchProjectionOptions {
  width: number;
  patchSize: number;
  /** Default true. */
  bias?: boolean;
  generator: Generator | null;
}

/** The convolution that embeds patches, as a product for each patch. */
export class PatchProjection extends Module {
  proj: Conv2d;
  readonly #patchSize: number;

  constructor({ width, patchSize, bias = true, generator }: PatchProjectionOptions) {
    super();
    const sizes = { inChannels: 3, outChannels: width, kernel: patchSize, stride: patchSize };
    this.proj = new Conv2d({ ...sizes, bias, generator });
    this.#patchSize = patchSize;
  }

  /** [B, 3, S, S] → [B, G², W], row by row; a rest beyond whole patches is cut off. */
  forward(pixels: Tensor): Tensor {
    return embedPatches(pixels, this.proj, this.#patchSize);
  }
}

/** A learned vector or table, N(0, 0.02²) cut at ±2. */
export function timmParameter(shape: readonly number[], generator: Generator | null): Parameter {
  return truncatedNormalInit(new Parameter(zeros(shape)), generator, { std: 0.02 });
}

/** Options of {@link AttentionPoolLatent}. */
export interface AttentionPoolOptions {
  width: number;
  heads: number;
  /** Hidden units of its MLP. */
  hidden: number;
  normEps: number;
  activation: Activation;
  generator: Generator | null;
}

/**
 * Pooling by a learned query, then a residual MLP (Zhai et al. 2022, "Scaling Vision Transformers",
 * section 3.2; Lee et al. 2019): y = proj(attention(latent, x)), then y + MLP(LN y).
 */
export class AttentionPoolLatent extends Module {
  latent: Parameter;
  q: Linear;
  kv: Linear;
  proj: Linear;
  norm: LayerNorm;
  mlp: TimmMlp;
  readonly heads: number;

  constructor({ width, heads, hidden, normEps, activation, generator }: AttentionPoolOptions) {
    super();
    const std = width ** -0.5;
    this.latent = truncatedNormalInit(new Parameter(zeros([1, 1, width])), generator, {
      std,
      low: -2 * std,
      high: 2 * std,
    });
    this.q = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.kv = timmLinear({ inFeatures: width, outFeatures: 2 * width, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.norm = new LayerNorm({ width, eps: normEps });
    this.mlp = new TimmMlp({ width, hidden, activation, generator });
    this.heads = heads;
  }

  /** [B, L, W] → [B, W] */
  forward(x: Tensor): Tensor {
    const [batch, , width] = dims(x, 3);
    const both = this.kv.forward(x);
    const q = expand(this.q.forward(this.latent), [batch, 1, width]);
    const [k, v] = [narrow(both, 2, 0, width), narrow(both, 2, width, width)];
    const y = this.proj.forward(attend(q, k, v, this.heads));
    return squeeze(add(y, this.mlp.forward(this.norm.forward(y))), 1);
  }
}

/**
 * FLOPs of {@link AttentionPoolLatent} for one image: query and output, keys and values of all
 * tokens, attention, and the query's MLP.
 */
export function attentionPoolFlops(
  { width, hidden }: Pick<AttentionPoolOptions, 'width' | 'hidden'>,
  tokens: number,
): number {
  const products = 4 * width ** 2 + 4 * tokens * width ** 2 + 4 * width * hidden;
  return products + attendFlops({ queries: 1, tokens, width });
}
