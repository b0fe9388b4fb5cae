import {
  add,
  full,
  Linear,
  Module,
  mul,
  norm,
  normalInit,
  ones,
  Parameter,
  pow,
  relu,
  to,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { gatherTokens } from './sequences.js';
import { gained, ShapedAttention, type ShapedAttentionForwardOptions } from './shaped-attention.js';

/** Options of {@link RmsNorm}. */
export interface RmsNormOptions {
  width: number;
  /** Added to the root mean square, not under the root. */
  eps: number;
}

/**
 * x/(‖x‖/√d + eps)·weight over the last dimension (Zhang and Sennrich 2019, eq. 4), in float32; it
 * returns the type of its input.
 */
export class RmsNorm extends Module {
  weight: Parameter;
  readonly eps: number;

  constructor({ width, eps }: RmsNormOptions) {
    super();
    this.weight = new Parameter(ones([width]));
    this.eps = eps;
  }

  forward(x: Tensor): Tensor {
    const length = norm(x, { dim: -1, keepdim: true, dtype: 'float32' });
    const inverseRms = pow(add(mul(length, this.weight.size ** -0.5), this.eps), -1);
    return to(mul(mul(x, inverseRms), this.weight), { dtype: x.dtype });
  }
}

/** Options of {@link SasPBlock}. */
export interface SasPBlockOptions {
  width: number;
  heads: number;
  /** Hidden units of the MLP. */
  hidden: number;
  /** Added to the root mean square by the norm. */
  normEps: number;
  /** Values are a product of their own, as in a model's first block. Default false. */
  ownValues?: boolean;
  /** The attention of another block, in place of one of its own. */
  attention?: ShapedAttention;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** W₂·max(W₁·x, 0) without biases; W₁ and W₂ start as N(0, 0.02²). */
class ReluMlp extends Module {
  cFc: Linear;
  cProj: Linear;

  constructor({
    width,
    hidden,
    generator,
  }: Pick<SasPBlockOptions, 'width' | 'hidden' | 'generator'>) {
    super();
    this.cFc = new Linear({ inFeatures: width, outFeatures: hidden, bias: false, generator: null });
    this.cProj = new Linear({
      inFeatures: hidden,
      outFeatures: width,
      bias: false,
      generator: null,
    });
    for (const { weight } of [this.cFc, this.cProj]) normalInit(weight, generator, { std: 0.02 });
  }

  forward(x: Tensor): Tensor {
    return this.cProj.forward(relu(this.cFc.forward(x)));
  }
}

/**
 * The simplified parallel transformer block SAS-P (He and Hofmann 2024, "Simplifying Transformer
 * Blocks", section 4.3): y = β_SA·attention(N(x)) + β_FF·MLP(N(x)) with shaped attention, one
 * RMSNorm N for both, and no skip connection. It has about 10·W² weights where a pre-norm block has
 * 12·W².
 *
 * With β_SA = 1 and β_FF = 0.1 at the start, when attention is the identity, y = N(x) + 0.1·MLP(N(x)).
 */
export class SasPBlock extends Module {
  ln_1: RmsNorm;
  /** null where it is another block's. */
  attn: ShapedAttention | null;
  mlp: ReluMlp;
  /** β_SA */
  attnGain: Parameter;
  /** β_FF */
  mlpGain: Parameter;

  // Private, so that shared weights have one name in checkpoints: that of the block they are of.
  readonly #attention: ShapedAttention;

  constructor(options: SasPBlockOptions) {
    super();
    const { width, heads, hidden, normEps, ownValues = false, attention, generator } = options;
    this.ln_1 = new RmsNorm({ width, eps: normEps });
    this.#attention = attention ?? new ShapedAttention({ width, heads, ownValues, generator });
    this.attn = attention === undefined ? this.#attention : null;
    this.mlp = new ReluMlp({ width, hidden, generator });
    this.attnGain = new Parameter(full([], 1));
    this.mlpGain = new Parameter(full([], 0.1));
  }

  /** Its attention, whosever it is. */
  get attention(): ShapedAttention {
    return this.#attention;
  }

  /** [B, L, W] → [B, L, W], or [B, 1, W] where only some positions are needed. */
  forward(x: Tensor, options: ShapedAttentionForwardOptions = {}): Tensor {
    const { positions } = options;
    const normed = this.ln_1.forward(x);
    const attended = this.#attention.forward(normed, options);
    const units = this.mlp.forward(
      positions === undefined ? normed : gatherTokens(normed, positions),
    );
    return add(gained(attended, this.attnGain), gained(units, this.mlpGain));
  }
}
