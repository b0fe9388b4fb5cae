import {
  add,
  arange,
  at,
  baddbmm,
  bmm,
  chunk,
  cumsum,
  dims,
  div,
  full,
  le,
  linear,
  Module,
  mul,
  narrow,
  noGrad,
  normalInit,
  ones,
  Parameter,
  permute,
  reshape,
  scope,
  softmax,
  sub,
  sum,
  Tensor,
  to,
  transpose,
  unsqueeze,
  where,
  zeros,
  type Device,
  type DType,
  type Generator,
} from '@bantam/torch';
import { gatherTokens, type Positions } from './sequences.js';

/** Options of {@link ShapedAttention}. */
export interface ShapedAttentionOptions {
  width: number;
  heads: number;
  /** Values are a product of their own, as in a model's first block, instead of the tokens. */
  ownValues: boolean;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Which tokens a query may see, and which queries are needed. */
export interface ShapedAttentionForwardOptions {
  /** Each token sees itself and those before it. Default false. */
  causal?: boolean;
  /** Tokens that may be seen, boolean [B, L], one at least for every query. Default: all. */
  visible?: Tensor | undefined;
  /** The only positions whose output is needed; default: all. */
  positions?: Positions | undefined;
}

/**
 * x·(g_r·ΔWᵀ + g_s·I): a product that starts as the identity, with ΔW = 0 and g_r = g_s = 1 (He and
 * Hofmann 2024, eq. 6).
 */
class ResidualProduct extends Module {
  weight: Parameter;
  residualGain = new Parameter(ones([]));
  skipGain = new Parameter(ones([]));

  constructor(width: number) {
    super();
    this.weight = new Parameter(zeros([width, width]));
  }

  forward(x: Tensor): Tensor {
    return add(gained(linear(x, this.weight), this.residualGain), gained(x, this.skipGain));
  }
}

/** x·g in the type of x, whose gain is kept in float32. */
export function gained(x: Tensor, gain: Tensor): Tensor {
  return mul(x, to(gain, { dtype: x.dtype }));
}

/**
 * Shaped attention (Noci et al. 2023; He and Hofmann 2024, eq. 5 and section 4.2) without
 * projections of values and outputs: per head (β·A + α·I − γ·C)·X, where A = softmax(q·kᵀ/√d) and
 * C gives equal weight to every token that the query may see, so 1/i for token i under a causal
 * mask and 1/n for n tokens without one.
 *
 * It starts with W_q = 0 and α = β = γ = 1. Then A = C, so that it is the identity, under any mask:
 * no token knows of another. Computed is β·(A − C)·X + α·X + (β − γ)·C·X, in which this holds without
 * rounding, and C·X is a mean instead of a product.
 */
export class ShapedAttention extends Module {
  /** Of queries and keys, [2W, W]. */
  inProjWeight: Parameter;
  inProjBias: Parameter;
  value: ResidualProduct | null;
  /** β by head, the weight of A. */
  attentionGain: Parameter;
  /** α by head, the weight of I. */
  identityGain: Parameter;
  /** γ by head, the weight of C. */
  centreGain: Parameter;
  readonly heads: number;

  constructor({ width, heads, ownValues, generator }: ShapedAttentionOptions) {
    super();
    this.inProjWeight = new Parameter(zeros([2 * width, width]));
    noGrad(() => {
      scope(
        () => void normalInit(narrow(this.inProjWeight, 0, width, width), generator, { std: 0.02 }),
      );
    });
    this.inProjBias = new Parameter(zeros([2 * width]));
    this.value = ownValues ? new ResidualProduct(width) : null;
    this.attentionGain = new Parameter(ones([heads]));
    this.identityGain = new Parameter(ones([heads]));
    this.centreGain = new Parameter(ones([heads]));
    this.heads = heads;
  }

  /** [B, L, W] → [B, L, W], or [B, 1, W] where only some positions are needed. */
  forward(x: Tensor, options: ShapedAttentionForwardOptions = {}): Tensor {
    const { positions } = options;
    const asked = positions === undefined ? x : gatherTokens(x, positions);
    const projected =
      positions === undefined
        ? this.#project(x, 0, 2)
        : [...this.#project(asked, 0, 1), ...this.#project(x, 1, 1)];
    const [q, k] = [at(projected, 0), at(projected, 1)];
    const [batch, rows, width] = dims(asked, 3);
    const { heads } = this;
    const length = x.dim(1);
    const scores = baddbmm(zeros([1, 1, 1], like(q)), q, transpose(k, 1, 2), {
      beta: 0,
      alpha: (width / heads) ** -0.5,
    });
    const centred = centredAttention(reshape(scores, [batch, heads, rows, length]), x, options);

    const values = this.value === null ? x : this.value.forward(x);
    const mixed = bmm(reshape(centred, [batch * heads, rows, length]), this.#split(values));
    const parts: [Tensor, Tensor][] = [
      [permute(reshape(mixed, [batch, heads, rows, -1]), [0, 2, 1, 3]), this.attentionGain],
      [positions === undefined ? values : gatherTokens(values, positions), this.identityGain],
      [meanOfSeen(values, options), sub(this.attentionGain, this.centreGain)],
    ];
    const perHead = parts.map(([part, gain]) => {
      const split = reshape(part, [batch, -1, heads, width / heads]);
      return gained(split, unsqueeze(gain, 1));
    });
    return reshape(perHead.reduce(add), asked.shape);
  }

  /** Of queries and keys the ones from `start`, `count` of them, each [B·heads, L, d]. */
  #project(x: Tensor, start: number, count: number): Tensor[] {
    const width = x.dim(2);
    const rows = (all: Tensor): Tensor => narrow(all, 0, start * width, count * width);
    const projected = linear(x, rows(this.inProjWeight), rows(this.inProjBias));
    return chunk(projected, count, 2).map((part) => this.#split(part));
  }

  /** [B, L, W] → [B·heads, L, d] */
  #split(x: Tensor): Tensor {
    const [batch, length, width] = dims(x, 3);
    const { heads } = this;
    const parts = reshape(x, [batch, length, heads, width / heads]);
    return reshape(permute(parts, [0, 2, 1, 3]), [batch * heads, length, width / heads]);
  }
}

/** A − C, exactly 0 where all scores are equal: [B, heads, Lq, L]. */
function centredAttention(
  scores: Tensor,
  x: Tensor,
  options: ShapedAttentionForwardOptions,
): Tensor {
  const { dtype, device } = scores;
  const seen = seenTokens(x, options);
  if (seen === null) return sub(softmax(scores, -1), full([], 1 / x.dim(1), { dtype, device }));
  const hidden = full([], -Infinity, { dtype, device });
  const bias = where(seen, full([], 0, { dtype, device }), hidden);
  const uniform = div(to(seen, { dtype: 'float32' }), sum(seen, { dim: -1, keepdim: true }));
  return sub(softmax(add(scores, bias), -1), to(uniform, { dtype }));
}

/** C·X, the mean of the tokens that a query sees: [B, 1 or Lq, W]. */
function meanOfSeen(
  x: Tensor,
  { causal = false, visible, positions }: ShapedAttentionForwardOptions,
): Tensor {
  const { dtype, device } = x;
  const total = (terms: Tensor): Tensor =>
    causal ? cumsum(terms, 1) : sum(terms, { dim: 1, keepdim: true });
  const shown =
    visible === undefined
      ? ones([1, x.dim(1), 1], { device })
      : unsqueeze(to(visible, { dtype: 'float32' }), 2);
  const terms = visible === undefined ? x : mul(x, to(shown, { dtype }));
  const mean = to(div(total(terms), total(shown)), { dtype });
  return causal && positions !== undefined ? gatherTokens(mean, positions) : mean;
}

function like({ dtype, device }: Tensor): { dtype: DType; device: Device } {
  return { dtype, device };
}

/** True if a query sees a token, boolean [1 or B, 1, 1 or Lq, L]; null: each sees all. */
function seenTokens(
  x: Tensor,
  { causal = false, visible, positions }: ShapedAttentionForwardOptions,
): Tensor | null {
  const padded = visible === undefined ? null : reshape(visible, [-1, 1, 1, x.dim(1)]);
  if (!causal) return padded;
  const all = arange(x.dim(1), { device: x.device });
  const queries = typeof positions === 'number' ? narrow(all, 0, positions, 1) : (positions ?? all);
  const past = le(
    all,
    reshape(queries, [-1, 1, positions instanceof Tensor ? 1 : queries.size, 1]),
  );
  // Of booleans: both. The operator of that name does not run on shapes alone.
  return padded === null ? past : mul(past, padded);
}
