import {
  at,
  expand,
  LayerNorm,
  linear,
  Linear,
  Module,
  narrow,
  normalInit,
  Parameter,
  reshape,
  unsqueeze,
  xavierUniformInit,
  zeros,
  zerosInit,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import {
  attendFlops,
  attendHeads,
  joinHeads,
  splitHeads,
  type KeysAndValues,
} from './attention.js';

/** Sizes of {@link CrossAttention}. */
export interface CrossAttentionSizes {
  /** Length of the queries' vectors, and of the result. */
  readonly width: number;
  /** Length of the vectors that are attended to. */
  readonly contextWidth: number;
  readonly heads: number;
}

/** Options of {@link CrossAttention}. */
export interface CrossAttentionOptions extends CrossAttentionSizes {
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/**
 * Attention from some vectors to others (Vaswani et al. 2017, section 3.2.3), with the parameters of
 * PyTorch's: one matrix for queries, keys and values where the lengths are equal, else one for each.
 */
export class CrossAttention extends Module {
  inProjWeight: Parameter | null;
  qProjWeight: Parameter | null;
  kProjWeight: Parameter | null;
  vProjWeight: Parameter | null;
  inProjBias: Parameter;
  outProj: Linear;
  readonly width: number;
  readonly heads: number;

  constructor({ generator, width, contextWidth, heads }: CrossAttentionOptions) {
    super();
    const matrix = (shape: readonly number[]) =>
      xavierUniformInit(new Parameter(zeros(shape)), generator);
    const joint = width === contextWidth;
    this.inProjWeight = joint ? matrix([3 * width, width]) : null;
    this.qProjWeight = joint ? null : matrix([width, width]);
    this.kProjWeight = joint ? null : matrix([width, contextWidth]);
    this.vProjWeight = joint ? null : matrix([width, contextWidth]);
    this.inProjBias = new Parameter(zeros([3 * width]));
    this.outProj = new Linear({ inFeatures: width, outFeatures: width, generator });
    zerosInit(this.outProj.bias);
    this.width = width;
    this.heads = heads;
  }

  /** Keys and values of the vectors that are attended to, [B, L, C]. */
  read(x: Tensor): KeysAndValues {
    const { heads } = this;
    return {
      keys: splitHeads(this.#project(x, 1), heads),
      values: splitHeads(this.#project(x, 2), heads),
    };
  }

  /**
   * x [N, Lq, W] → [N, Lq, W]. Of the B sequences that were read each answers the next N/B rows of x;
   * a single row asks all of them: [1, Lq, W] → [B, Lq, W].
   */
  forward(
    x: Tensor,
    { keys, values }: KeysAndValues,
    options: { residual?: Tensor | undefined } = {},
  ): Tensor {
    const { heads, width } = this;
    const batch = keys.dim(0) / heads;
    const asked = this.#project(x, 0);
    const shared = x.dim(0) === 1;
    const q = shared ? expand(asked, [batch, -1, -1]) : reshape(asked, [batch, -1, width]);
    const mixed = joinHeads(attendHeads(splitHeads(q, heads), keys, values), heads);
    return this.outProj.forward(shared ? mixed : reshape(mixed, x.shape), options);
  }

  /** The query (0), key (1) or value (2) of each vector. */
  #project(x: Tensor, part: 0 | 1 | 2): Tensor {
    const { width } = this;
    const own = at([this.qProjWeight, this.kProjWeight, this.vProjWeight], part);
    const rows = (all: Tensor) => narrow(all, 0, part * width, width);
    const weight = this.inProjWeight === null ? own : rows(this.inProjWeight);
    return weight === null ? x : linear(x, weight, rows(this.inProjBias));
  }
}

/** Sizes of {@link AttentionalPooler}. */
export interface AttentionalPoolerSizes extends CrossAttentionSizes {
  readonly queries: number;
}

/** Options of {@link AttentionalPooler}. */
export interface AttentionalPoolerOptions extends AttentionalPoolerSizes {
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/**
 * Learned queries that attend to all tokens (Yu et al. 2022, "CoCa", section 3.2; Lee et al. 2019):
 * [B, L, C] → [B, queries, width]. Layer norm on queries and on tokens, in OpenCLIP always with an
 * eps of 1e-5.
 */
export class AttentionalPooler extends Module {
  query: Parameter;
  attn: CrossAttention;
  lnQ: LayerNorm;
  lnK: LayerNorm;

  constructor(options: AttentionalPoolerOptions) {
    super();
    const { queries, width, contextWidth, generator } = options;
    this.query = normalInit(new Parameter(zeros([queries, width])), generator, { std: 1 });
    this.attn = new CrossAttention(options);
    this.lnQ = new LayerNorm({ width });
    this.lnK = new LayerNorm({ width: contextWidth });
  }

  /** With `first`, the vector of the first query alone: [B, 1, width]. */
  forward(x: Tensor, { first = false }: { first?: boolean } = {}): Tensor {
    const query = first ? narrow(this.query, 0, 0, 1) : this.query;
    const queries = unsqueeze(this.lnQ.forward(query), 0);
    return this.attn.forward(queries, this.attn.read(this.lnK.forward(x)));
  }
}

/** FLOPs of the pooler for one sequence of n tokens. */
export function attentionalPoolerFlops(
  { width, contextWidth, queries }: AttentionalPoolerSizes,
  tokens: number,
): number {
  const projections = 4 * queries * width ** 2 + 4 * tokens * contextWidth * width;
  return projections + attendFlops({ queries, tokens, width });
}
