import {
  add,
  expand,
  gather,
  LayerNorm,
  Mlp,
  Module,
  mul,
  MultiheadAttention,
  narrow,
  ones,
  Parameter,
  scope,
  tensor,
  unsqueeze,
  type Activation,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { mlpWidth, type TowerConfig } from './config.js';

/** One place of each row of [B, L, W]: the same for all, or int64 [B, 1]. */
export type Places = number | Tensor;

/** The vectors at the given place of each row: [B, L, W] → [B, 1, W]. */
export function takePlaces(x: Tensor, places: Places): Tensor {
  if (typeof places === 'number') return narrow(x, 1, places, 1);
  return gather(x, 1, expand(unsqueeze(places, -1), [-1, -1, x.dim(2)]));
}

/** x·γ with one factor per channel (Touvron et al. 2021, eq. 2). */
export class LayerScale extends Module {
  gamma: Parameter;

  constructor({ width, value }: { width: number; value: number }) {
    super();
    this.gamma = new Parameter(mul(ones([width]), value));
  }

  forward(x: Tensor): Tensor {
    return mul(x, this.gamma);
  }
}

/** Options of {@link ResidualBlock} and {@link Transformer}. */
export interface TransformerOptions {
  config: TowerConfig;
  heads: number;
  quickGelu: boolean;
  /** Draws the initial weights as PyTorch's layers do; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of {@link Transformer.forward}. */
export interface TransformerForwardOptions {
  /** Each token sees itself and those before it. Default false. */
  causal?: boolean;
  /** The only places whose output is needed; default: all. */
  places?: Places | undefined;
}

/**
 * A pre-norm residual block: y = x + attention(LN₁x), then y + MLP(LN₂y); each sum's second part by
 * its layer scale where there is one. Fields have OpenCLIP's names.
 */
export class ResidualBlock extends Module {
  ln_1: LayerNorm;
  attn: MultiheadAttention;
  ls_1: LayerScale | null;
  ln_2: LayerNorm;
  mlp: Mlp;
  ls_2: LayerScale | null;

  constructor({ config, heads, quickGelu, generator }: TransformerOptions) {
    super();
    const { width, normEps: eps, lsInitValue: value } = config;
    const activation = activationOf(quickGelu, config.geluTanh);
    this.ln_1 = new LayerNorm({ width, eps });
    this.attn = new MultiheadAttention({ width, heads, generator });
    this.ls_1 = value === null ? null : new LayerScale({ width, value });
    this.ln_2 = new LayerNorm({ width, eps });
    this.mlp = new Mlp({ width, hidden: mlpWidth(config), activation, generator });
    this.ls_2 = value === null ? null : new LayerScale({ width, value });
  }

  /** [B, L, W] → [B, L, W], or [B, 1, W] where only some places are needed. */
  forward(x: Tensor, { causal = false, places }: TransformerForwardOptions = {}): Tensor {
    const { normed, residual: all } = this.ln_1.branch(x);
    const kept = places === undefined ? all : takePlaces(all, places);
    const attention = {
      causal,
      ...(places !== undefined && {
        queries: takePlaces(normed, places),
        positions: asPositions(places),
      }),
    };
    const y = summed(kept, this.ls_1, (residual) =>
      this.attn.forward(normed, { ...attention, residual }),
    );
    const second = this.ln_2.branch(y);
    return summed(second.residual, this.ls_2, (residual) =>
      this.mlp.forward(second.normed, { residual }),
    );
  }
}

function activationOf(quickGelu: boolean, geluTanh: boolean): Activation {
  if (quickGelu) return 'quick-gelu';
  return geluTanh ? 'gelu-tanh' : 'gelu';
}

function asPositions(places: Places): Tensor {
  return typeof places === 'number' ? tensor([[places]], { dtype: 'int64' }) : places;
}

/** x + scale·part: without a scale, the part's last product adds x itself. */
function summed(
  x: Tensor,
  scale: LayerScale | null,
  part: (residual: Tensor | undefined) => Tensor,
): Tensor {
  return scale === null ? part(x) : add(x, scale.forward(part(undefined)));
}

/** Residual blocks one after the other. */
export class Transformer extends Module {
  resblocks: ResidualBlock[];

  constructor(options: TransformerOptions) {
    super();
    this.resblocks = Array.from(
      { length: options.config.layers },
      () => new ResidualBlock(options),
    );
  }

  /**
   * [B, L, W] → [B, L, W]. With `places`, [B, 1, W]: the last block then computes keys and values of
   * all tokens, but everything else for these places alone; their values are the same.
   */
  forward(x: Tensor, { causal = false, places }: TransformerForwardOptions = {}): Tensor {
    const last = this.resblocks.length - 1;
    // A block's intermediates are let go at its end; the autograd graph keeps those that it needs.
    return this.resblocks.reduce(
      (y, block, i) =>
        scope(() => block.forward(y, { causal, places: i === last ? places : undefined })),
      x,
    );
  }
}
