import {
  type Activation,
  add,
  chunk,
  full,
  type Generator,
  LayerNorm,
  Mlp,
  Module,
  mul,
  MultiheadAttention,
  type Packing,
  Parameter,
  repeatInterleave,
  reshape,
  scope,
  tensor,
  type Tensor,
  unpackRows,
  where,
} from '@bantam/torch';
import { attendHeads, joinHeads, type KeyValueCache, splitHeads } from './attention.js';
import { hasMixture, MixtureOfExperts } from './mixture-of-experts.js';
import { runBlock } from './run-block.js';
import { SasPBlock } from './sas-p.js';
import { type Places, takePlaces } from './sequences.js';
import {
  blockCount,
  blockOfLayers,
  mlpWidth,
  type TransformerConfig,
} from './transformer-config.js';

/** x·γ with one factor per channel (Touvron et al. 2021, eq. 2). */
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

/** Options of {@link ResidualBlock} and {@link Transformer}. */
export interface TransformerOptions {
  config: TransformerConfig;
  heads: number;
  quickGelu: boolean;
  /** Draws the initial weights as PyTorch's layers do; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of {@link Transformer.forward}. */
export interface TransformerForwardOptions {
  /** Each token sees itself and those before it. Default false. */
  causal?: boolean;
  /** Tokens that may be seen, boolean [B, L], one at least for every query. Default: all. */
  visible?: Tensor | undefined;
  /** The only places whose output is needed; default: all. */
  places?: Places | undefined;
  /**
   * Where the sequences are in x [T, W], which has no padding; under a causal mask, in blocks that
   * {@link Transformer.takesPacked}.
   */
  packing?: Packing | undefined;
  /** Takes what routers add to the loss of each row, [B], while they are trained. */
  auxiliary?: Tensor[];
}

/**
 * A pre-norm residual block: y = x + attention(LN₁x), then y + MLP(LN₂y); each sum's second part by
 * its layer scale where there is one. Fields have OpenCLIP's names. Some blocks have a mixture of
 * experts for an MLP.
 */
export class ResidualBlock extends Module {
  ln_1: LayerNorm;
  attn: MultiheadAttention;
  ls_1: LayerScale | null;
  ln_2: LayerNorm;
  mlp: Mlp | MixtureOfExperts;
  ls_2: LayerScale | null;

  constructor({ config, heads, quickGelu, generator }: TransformerOptions, position: number) {
    super();
    const { width, normEps: eps, lsInitValue: value, moe } = config;
    const activation = activationOf(quickGelu, config.geluTanh);
    this.ln_1 = new LayerNorm({ width, eps });
    this.attn = new MultiheadAttention({ width, heads, generator });
    this.ls_1 = value === null ? null : new LayerScale({ width, value });
    this.ln_2 = new LayerNorm({ width, eps });
    const mlp = { width, hidden: mlpWidth(config), activation, generator };
    this.mlp = hasMixture(moe, position) ? new MixtureOfExperts({ ...mlp, moe }) : new Mlp(mlp);
    this.ls_2 = value === null ? null : new LayerScale({ width, value });
  }

  /** [B, L, W] → [B, L, W], or [B, 1, W] where only some places are needed; packed [T, W] → [T, W]. */
  forward(x: Tensor, options: TransformerForwardOptions = {}): Tensor {
    const { causal = false, visible, places, packing, auxiliary } = options;
    const { normed, residual: all } = this.ln_1.branch(x);
    const kept = places === undefined ? all : takePlaces(all, places);
    const attention = {
      causal,
      packing,
      mask: visible && hiding(visible),
      ...(places !== undefined && {
        queries: takePlaces(normed, places),
        positions: asPositions(places),
      }),
    };
    const y = summed(kept, this.ls_1, (residual) =>
      this.attn.forward(normed, { ...attention, residual }),
    );
    return this.#think(y, auxiliary);
  }

  /**
   * {@link forward} with a causal mask for one further token of each sequence, [B, 1, W]: keys and
   * values of those before it come from the cache, which takes those of this one.
   */
  step(x: Tensor, cache: KeyValueCache, visible?: Tensor): Tensor {
    const bias =
      visible &&
      reshape(repeatInterleave(hiding(visible), this.attn.heads, 0), [-1, 1, visible.dim(1)]);
    const { heads, outProj } = this.attn;
    const { normed, residual: kept } = this.ln_1.branch(x);
    const [q, k, v] = chunk(this.attn.project(normed), 3, -1).map((part) =>
      splitHeads(part, heads),
    ) as [Tensor, Tensor, Tensor];
    const { keys, values } = cache.append(k, v);
    const mixed = joinHeads(attendHeads(q, keys, values, bias), heads);
    return this.#think(summed(kept, this.ls_1, (residual) => outProj.forward(mixed, { residual })));
  }

  /** The block's second half: y + MLP(LN₂y). */
  #think(y: Tensor, auxiliary?: Tensor[]): Tensor {
    const { normed: inner, residual: rest } = this.ln_2.branch(y);
    const { mlp } = this;
    if (mlp instanceof MixtureOfExperts) {
      const mixed = mlp.forward(inner, { auxiliary });
      return add(rest, this.ls_2 === null ? mixed : this.ls_2.forward(mixed));
    }
    return summed(rest, this.ls_2, (residual) => mlp.forward(inner, { residual }));
  }
}

/** The activation of a model's MLPs. */
export function activationOf(quickGelu: boolean, geluTanh: boolean): Activation {
  if (quickGelu) return 'quick-gelu';
  return geluTanh ? 'gelu-tanh' : 'gelu';
}

/** What scores of tokens take that may not be seen: −∞, [B, 1, 1, L]. */
function hiding(visible: Tensor): Tensor {
  const { device } = visible;
  const [shown, hidden] = [0, -Infinity].map((value) => full([], value, { device })) as [
    Tensor,
    Tensor,
  ];
  return reshape(where(visible, shown, hidden), [visible.dim(0), 1, 1, visible.dim(1)]);
}

function asPositions(places: Places): Tensor {
  return typeof places === 'number' ? tensor([[places]], { dtype: 'int64' }) : places;
}

/** x + scale·part: without a scale, the part's last product adds x itself. */
export function summed(
  x: Tensor,
  scale: LayerScale | null,
  part: (residual: Tensor | undefined) => Tensor,
): Tensor {
  return scale === null ? part(x) : add(x, scale.forward(part(undefined)));
}

/** Blocks one after the other, some of them several times in a row where layers share theirs. */
export class Transformer extends Module {
  resblocks: (ResidualBlock | SasPBlock)[];
  readonly config: TransformerConfig;

  constructor(options: TransformerOptions) {
    super();
    this.config = options.config;
    this.resblocks = [];
    for (let position = 0; position < blockCount(options.config); position++) {
      this.resblocks.push(createBlock(options, position, this.resblocks.at(-1)));
    }
  }

  /** Whether every block computes each token by itself but for its attention, as packing needs it. */
  get takesPacked(): boolean {
    return this.resblocks.every(
      (block) => block instanceof ResidualBlock && !(block.mlp instanceof MixtureOfExperts),
    );
  }

  /**
   * [B, L, W] → [B, L, W]. With `places`, [B, 1, W]: the last layer then computes keys and values of
   * all tokens, but everything else for these places alone; their values are the same. With `packing`
   * [T, W] → the same, as the last layer takes the tokens with padding.
   */
  forward(x: Tensor, options: TransformerForwardOptions = {}): Tensor {
    const { causal = false, visible, places, auxiliary } = options;
    const passed = blockOfLayers(this.config).flatMap((block) => this.resblocks[block] ?? []);
    return passed.reduce((y, block, layer) => {
      const last = layer === passed.length - 1;
      const packing = last ? undefined : options.packing;
      const { next, losses } = runBlock(
        (x: Tensor, visible?: Tensor, places?: Places) => {
          const losses: Tensor[] = [];
          const options = { causal, visible, places, packing, auxiliary: losses };
          return { next: block.forward(x, options), losses };
        },
        last && options.packing ? unpackRows(y, options.packing) : y,
        visible,
        last ? places : undefined,
      );
      auxiliary?.push(...losses);
      return next;
    }, x);
  }

  /**
   * {@link forward} with a causal mask for one further token of each sequence, [B, 1, W], by pre-norm
   * blocks; `visible` as there, for all tokens up to this one.
   */
  step(x: Tensor, caches: readonly KeyValueCache[], visible?: Tensor): Tensor {
    return this.resblocks.reduce((y, block, layer) => {
      const cache = caches[layer];
      if (!(block instanceof ResidualBlock) || cache === undefined) {
        throw new RangeError('Only pre-norm blocks, with a cache each, take token by token.');
      }
      return scope(() => block.step(y, cache, visible));
    }, x);
  }
}

function createBlock(
  options: TransformerOptions,
  position: number,
  before: ResidualBlock | SasPBlock | undefined,
): ResidualBlock | SasPBlock {
  const { config, heads, generator } = options;
  const { block, normEps, shared, sharedLayers, width } = config;
  if (block === 'pre-norm') return new ResidualBlock(options, position);
  const sizes = { width, heads, hidden: mlpWidth(config), normEps, generator };
  return shared === 'attention' && position % sharedLayers > 0 && before instanceof SasPBlock
    ? new SasPBlock({ ...sizes, attention: before.attention })
    : new SasPBlock({ ...sizes, ownValues: position === 0 });
}
