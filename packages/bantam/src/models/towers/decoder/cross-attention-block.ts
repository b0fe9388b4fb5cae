import { LayerNorm, Mlp, Module, type Tensor } from '@bantam/torch';
import { CrossAttention, type KeysAndValues } from '../../blocks/cross-attention.js';
import { activationOf, LayerScale, summed, type TransformerOptions } from '../../blocks/transformer.js';
import { mlpWidth } from '../../blocks/transformer-config.js';

/**
 * A pre-norm residual block whose tokens attend to other vectors of their length:
 * y = x + attention(LN₁x, LN₁ₖᵥm), then y + MLP(LN₂y); each sum's second part by its layer scale where
 * there is one. Fields have OpenCLIP's names.
 */
export class CrossAttentionBlock extends Module {
  ln_1: LayerNorm;
  attn: CrossAttention;
  ls_1: LayerScale | null;
  ln_1_kv: LayerNorm;
  ln_2: LayerNorm;
  mlp: Mlp;
  ls_2: LayerScale | null;

  constructor({ config, heads, quickGelu, generator }: TransformerOptions) {
    super();
    const { width, normEps: eps, lsInitValue: value } = config;
    const activation = activationOf(quickGelu, config.geluTanh);
    this.ln_1 = new LayerNorm({ width, eps });
    this.attn = new CrossAttention({ width, contextWidth: width, heads, generator });
    this.ls_1 = value === null ? null : new LayerScale({ width, value });
    this.ln_1_kv = new LayerNorm({ width, eps });
    this.ln_2 = new LayerNorm({ width, eps });
    this.mlp = new Mlp({ width, hidden: mlpWidth(config), activation, generator });
    this.ls_2 = value === null ? null : new LayerScale({ width, value });
  }

  /** What {@link forward} reads of the vectors that are attended to, m [B, M, W]. */
  read(context: Tensor): KeysAndValues {
    return this.attn.read(this.ln_1_kv.forward(context));
  }

  /** x [N, L, W] → [N, L, W], by the rule of {@link CrossAttention.forward}. */
  forward(x: Tensor, context: KeysAndValues): Tensor {
    const { normed, residual: kept } = this.ln_1.branch(x);
    const y = summed(kept, this.ls_1, (residual) =>
      this.attn.forward(normed, context, { residual }),
    );
    const { normed: inner, residual: rest } = this.ln_2.branch(y);
    return summed(rest, this.ls_2, (residual) => this.mlp.forward(inner, { residual }));
  }
}
