import {
  expand,
  LayerNorm,
  linear,
  Linear,
  Module,
  narrow,
  normalInit,
  Parameter,
  unsqueeze,
  xavierUniformInit,
  zeros,
  zerosInit,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { attend, attendFlops } from './attend.js';

/** Sizes of {@link AttentionalPooler}. */
export interface AttentionalPoolerSizes {
  /** Length of the vectors that it makes. */
  readonly width: number;
  /** Length of the vectors that it reads. */
  readonly contextWidth: number;
  readonly heads: number;
  readonly queries: number;
}

/** Options of {@link AttentionalPooler}. */
export interface AttentionalPoolerOptions extends AttentionalPoolerSizes {
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/**
 * Attention from some vectors to others of another length, with the parameters of PyTorch's: one
 * matrix for queries, keys and values where the lengths are equal, else one for each.
 */
class CrossAttention extends Module {
  inProjWeight: Parameter | null;
  qProjWeight: Parameter | null;
  kProjWeight: Parameter | null;
  vProjWeight: Parameter | null;
  inProjBias: Parameter;
  outProj: Linear;
  readonly width: number;
  readonly heads: number;

  constructor({ generator, width, contextWidth, heads }: AttentionalPoolerOptions) {
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

  /** Queries [Q, W], the same for all of x [B, L, C] → [B, Q, W]. */
  forward(queries: Tensor, x: Tensor): Tensor {
    const q = expand(unsqueeze(this.#project(queries, 0), 0), [x.dim(0), -1, -1]);
    return this.outProj.forward(attend(q, this.#project(x, 1), this.#project(x, 2), this.heads));
  }

  /** The query (0), key (1) or value (2) of each vector. */
  #project(x: Tensor, part: 0 | 1 | 2): Tensor {
    const { width } = this;
    const own = [this.qProjWeight, this.kProjWeight, this.vProjWeight][part] ?? null;
    const rows = (all: Tensor) => narrow(all, 0, part * width, width);
    const weight = this.inProjWeight === null ? own : rows(this.inProjWeight);
    return weight === null ? x : linear(x, weight, rows(this.inProjBias));
  }
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
    return this.attn.forward(this.lnQ.forward(query), this.lnK.forward(x));
  }
}

/** Operations of the pooler for one sequence of n tokens. */
export function attentionalPoolerFlops(
  { width, contextWidth, queries }: AttentionalPoolerSizes,
  tokens: number,
): number {
  const projections = 4 * queries * width ** 2 + 4 * tokens * contextWidth * width;
  return projections + attendFlops({ queries, tokens, width });
}
