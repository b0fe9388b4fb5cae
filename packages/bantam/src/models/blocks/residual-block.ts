import {
  add,
  full,
  LayerNorm,
  Mlp,
  Module,
  mul,
  MultiheadAttention,
  normalInit,
  Parameter,
  repeatInterleave,
  reshape,
  tensor,
  type Activation,
  type Generator,
  type Linear,
  type Packing,
  type Tensor,
} from '@bantam/torch';
import { attendHeads, joinHeads, splitQkv, type KeyValueCache } from './attention.js';
import { hasMixture, MixtureOfExperts } from './mixture-of-experts.js';
import { additiveMask, gatherTokens, type Positions } from './sequences.js';
import { mlpWidth, type TransformerConfig } from './transformer-config.js';

/** x·γ with one weight per channel (Touvron et al. 2021, eq. 2). */
export class LayerScale extends Module {
  gamma: Parameter;

  constructor({ width, value }: { width: number; value: number }) {
    super();
    this.gamma = new Parameter(full([width], value));
  }

  forward(x: Tensor): Tensor {
    return mul(x, this.gamma);
  }
}

/** Options of {@link ResidualBlock} and of the transformer that it is a block of. */
export interface TransformerOptions {
  config: TransformerConfig;
  heads: number;
  quickGelu: boolean;
  /** Initialises the weights as PyTorch's layers do; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of {@link ResidualBlock.forward}. */
export interface TransformerForwardOptions {
  /** Each token sees itself and those before it. Default false. */
  causal?: boolean;
  /** Tokens that may be seen, boolean [B, L], one at least for every query. Default: all. */
  visible?: Tensor | undefined;
  /** The only positions whose output is needed; default: all. */
  positions?: Positions | undefined;
  /** Layout of the sequences in x [T, W] without padding; needs a causal mask. */
  packing?: Packing | undefined;
  /** Collects what routers add to the loss of each sequence, [B], in training. */
  auxiliary?: Tensor[];
}

/**
 * A pre-norm residual block: y = x + attention(LN₁x), then y + MLP(LN₂y); each branch is multiplied
 * by its layer scale if there is one. Fields have OpenCLIP's names. Some blocks have a mixture of
 * experts in place of the MLP.
 */
export class ResidualBlock extends Module {
  ln_1: LayerNorm;
  attn: MultiheadAttention;
  ls_1: LayerScale | null;
  ln_2: LayerNorm;
  mlp: Mlp | MixtureOfExperts;
  ls_2: LayerScale | null;

  constructor({ config, heads, quickGelu, generator }: TransformerOptions, index: number) {
    super();
    const { width, normEps: eps, lsInitValue: value, moe } = config;
    const activation = activationOf(quickGelu, config.geluTanh);
    this.ln_1 = new LayerNorm({ width, eps });
    this.attn = new MultiheadAttention({ width, heads, generator });
    this.ls_1 = value === null ? null : new LayerScale({ width, value });
    this.ln_2 = new LayerNorm({ width, eps });
    const mlp = { width, hidden: mlpWidth(config), activation, generator };
    this.mlp = hasMixture(moe, index) ? new MixtureOfExperts({ ...mlp, moe }) : new Mlp(mlp);
    this.ls_2 = value === null ? null : new LayerScale({ width, value });
  }

  /** [B, L, W] → [B, L, W], or [B, 1, W] of the needed positions; without padding [T, W] → [T, W]. */
  forward(x: Tensor, options: TransformerForwardOptions = {}): Tensor {
    const { causal = false, visible, positions, packing, auxiliary } = options;
    const { normed, residual: all } = this.ln_1.branch(x);
    const kept = positions === undefined ? all : gatherTokens(all, positions);
    const attention = {
      causal,
      packing,
      mask: visible && additiveMask(visible),
      ...(positions !== undefined && {
        queries: gatherTokens(normed, positions),
        positions: asTensor(positions, x),
      }),
    };
    const y = addResidual(kept, this.ls_1, (residual) =>
      this.attn.forward(normed, { ...attention, residual }),
    );
    return this.#mlpResidual(y, auxiliary);
  }

  /**
   * {@link forward} with a causal mask for one further token of each sequence, [B, 1, W]. The cache
   * holds keys and values of the tokens before it, and takes those of this one.
   */
  step(x: Tensor, cache: KeyValueCache, visible?: Tensor): Tensor {
    const { heads, outProj } = this.attn;
    const bias =
      visible &&
      reshape(repeatInterleave(additiveMask(visible), heads, 0), [-1, 1, visible.dim(1)]);
    const { normed, residual: kept } = this.ln_1.branch(x);
    const [q, k, v] = splitQkv(this.attn.project(normed), heads);
    const { keys, values } = cache.append(k, v);
    const mixed = joinHeads(attendHeads(q, keys, values, bias), heads);
    return this.#mlpResidual(
      addResidual(kept, this.ls_1, (residual) => outProj.forward(mixed, { residual })),
    );
  }

  /** y + MLP(LN₂y). */
  #mlpResidual(y: Tensor, auxiliary?: Tensor[]): Tensor {
    const { normed, residual: kept } = this.ln_2.branch(y);
    const { mlp } = this;
    if (mlp instanceof MixtureOfExperts) {
      const mixed = mlp.forward(normed, { auxiliary });
      return add(kept, this.ls_2 === null ? mixed : this.ls_2.forward(mixed));
    }
    return addResidual(kept, this.ls_2, (residual) => mlp.forward(normed, { residual }));
  }
}

/** The activation of a model's MLPs. */
export function activationOf(quickGelu: boolean, geluTanh: boolean): Activation {
  if (quickGelu) return 'quick-gelu';
  return geluTanh ? 'gelu-tanh' : 'gelu';
}

function asTensor(positions: Positions, { device }: Tensor): Tensor {
  if (typeof positions !== 'number') return positions;
  return tensor([[positions]], { dtype: 'int64', device });
}

/** x + scale·branch; without a scale, the branch's last product adds x itself. */
export function addResidual(
  x: Tensor,
  scale: LayerScale | null,
  branch: (residual: Tensor | undefined) => Tensor,
): Tensor {
  return scale === null ? branch(x) : add(x, scale.forward(branch(undefined)));
}

/** A block with an attention and an MLP, whose weights {@link initBlock} initialises. */
interface AttentionAndMlp {
  readonly attn: { readonly inProjWeight: Parameter | null; readonly outProj: Linear };
  readonly mlp: Mlp | MixtureOfExperts;
}

/**
 * Initialises a block of a transformer with `layers` of them as OpenAI's and OpenCLIP's text towers
 * do: N(0, W⁻¹) in the attention, N(0, (2W)⁻¹) in the MLP, and N(0, (2WL)⁻¹) in both projections
 * that add to the residual.
 */
export function initBlock(
  { attn, mlp }: AttentionAndMlp,
  { width, layers }: { width: number; layers: number },
  generator: Generator | null,
): void {
  const init = (weight: Parameter, std: number) => normalInit(weight, generator, { std });
  const attention = width ** -0.5;
  const residual = attention * (2 * layers) ** -0.5;
  if (attn.inProjWeight !== null) init(attn.inProjWeight, attention);
  init(attn.outProj.weight, residual);
  for (const { cFc, cProj } of mlp instanceof MixtureOfExperts ? mlp.experts : [mlp]) {
    init(cFc.weight, (2 * width) ** -0.5);
    init(cProj.weight, residual);
  }
}
