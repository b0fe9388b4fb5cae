import {
  add,
  arange,
  cumsum,
  Embedding,
  gelu,
  LayerNorm,
  Linear,
  Module,
  mul,
  narrow,
  ne,
  normalInit,
  squeeze,
  tanh,
  to,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { attendHeads, joinHeads, splitHeads } from '../../blocks/attention.js';

/** Sizes of a BERT encoder. */
export interface BertSizes {
  readonly width: number;
  readonly heads: number;
  /** Hidden units of a layer's MLP. */
  readonly hidden: number;
  readonly normEps: number;
  readonly generator: Generator | null;
}

/** Standard deviation of initial weights, `initializer_range` of transformers. */
const STD = 0.02;

/** A linear layer that starts as N(0, 0.02), its bias 0. */
function dense(inFeatures: number, outFeatures: number, generator: Generator | null): Linear {
  const layer = new Linear({ inFeatures, outFeatures, generator: null });
  normalInit(layer.weight, generator, { std: STD });
  return layer;
}

/** A table of vectors that start as N(0, 0.02). */
function vectors(entries: number, { width, generator }: BertSizes): Embedding {
  const table = new Embedding({ entries, width, generator: null });
  normalInit(table.weight, generator, { std: STD });
  return table;
}

const norm = ({ width, normEps: eps }: BertSizes): LayerNorm => new LayerNorm({ width, eps });

/** Queries, keys and values, each a product of its own. */
class BertSelfAttention extends Module {
  query: Linear;
  key: Linear;
  value: Linear;
  readonly #heads: number;

  constructor({ width, heads, generator }: BertSizes) {
    super();
    this.query = dense(width, width, generator);
    this.key = dense(width, width, generator);
    this.value = dense(width, width, generator);
    this.#heads = heads;
  }

  /** [B, L, W], with the mask [B·heads, 1, L] added to the scores. */
  forward(x: Tensor, mask: Tensor): Tensor {
    const split = (layer: Linear) => splitHeads(layer.forward(x), this.#heads);
    return joinHeads(
      attendHeads(split(this.query), split(this.key), split(this.value), mask),
      this.#heads,
    );
  }
}

/** LayerNorm(residual + x·W + b): the end of both halves of a layer. */
class BertOutput extends Module {
  dense: Linear;
  // transformers' own name, with its capital.
  LayerNorm: LayerNorm;

  constructor(inFeatures: number, sizes: BertSizes) {
    super();
    this.dense = dense(inFeatures, sizes.width, sizes.generator);
    this.LayerNorm = norm(sizes);
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return this.LayerNorm.forward(add(this.dense.forward(x), residual));
  }
}

/** Self-attention with its residual connection. */
class BertAttention extends Module {
  self: BertSelfAttention;
  output: BertOutput;

  constructor(sizes: BertSizes) {
    super();
    this.self = new BertSelfAttention(sizes);
    this.output = new BertOutput(sizes.width, sizes);
  }

  forward(x: Tensor, mask: Tensor): Tensor {
    return this.output.forward(this.self.forward(x, mask), x);
  }
}

/** The first product of a layer's MLP, or the pooler's: named for its one layer. */
class BertDense extends Module {
  dense: Linear;

  constructor(inFeatures: number, outFeatures: number, generator: Generator | null) {
    super();
    this.dense = dense(inFeatures, outFeatures, generator);
  }
}

/** A layer of BERT (Devlin et al. 2019; post-norm, Vaswani et al. 2017). */
export class BertLayer extends Module {
  attention: BertAttention;
  intermediate: BertDense;
  output: BertOutput;

  constructor(sizes: BertSizes) {
    super();
    const { width, hidden, generator } = sizes;
    this.attention = new BertAttention(sizes);
    this.intermediate = new BertDense(width, hidden, generator);
    this.output = new BertOutput(hidden, sizes);
  }

  /** [B, L, W] → [B, L, W]; the mask [B·heads, 1, L] is added to the scores. */
  forward(x: Tensor, mask: Tensor): Tensor {
    const y = this.attention.forward(x, mask);
    return this.output.forward(gelu(this.intermediate.dense.forward(y)), y);
  }
}

/** Sizes of {@link BertEmbeddings}. */
export interface BertEmbeddingSizes extends BertSizes {
  readonly vocabSize: number;
  /** Rows of the table of positions. */
  readonly positions: number;
  /** Rows of the table of segments, of which the first is used. */
  readonly segments: number;
  readonly padId: number;
  /** RoBERTa's positions: counted over tokens that are no padding, from `padId` + 1. */
  readonly countsTokens: boolean;
}

/** LayerNorm(word + position + segment), [B, L] → [B, L, W]. */
export class BertEmbeddings extends Module {
  wordEmbeddings: Embedding;
  positionEmbeddings: Embedding;
  tokenTypeEmbeddings: Embedding;
  LayerNorm: LayerNorm;
  readonly #padId: number;
  readonly #countsTokens: boolean;

  constructor(sizes: BertEmbeddingSizes) {
    super();
    this.wordEmbeddings = vectors(sizes.vocabSize, sizes);
    this.positionEmbeddings = vectors(sizes.positions, sizes);
    this.tokenTypeEmbeddings = vectors(sizes.segments, sizes);
    this.LayerNorm = norm(sizes);
    this.#padId = sizes.padId;
    this.#countsTokens = sizes.countsTokens;
  }

  forward(ids: Tensor): Tensor {
    const words = this.wordEmbeddings.forward(ids);
    const positions = this.positionEmbeddings.forward(this.#positions(ids));
    const segment = narrow(this.tokenTypeEmbeddings.weight, 0, 0, 1);
    return this.LayerNorm.forward(add(add(words, segment), positions));
  }

  #positions(ids: Tensor): Tensor {
    if (!this.#countsTokens) return arange(ids.dim(1), { device: ids.device });
    const isToken = to(ne(ids, this.#padId), { dtype: 'int64' });
    return add(mul(cumsum(isToken, 1), isToken), this.#padId);
  }
}

/** tanh(x₀·W + b) of the first token. */
export class BertPooler extends BertDense {
  constructor({ width, generator }: BertSizes) {
    super(width, width, generator);
  }

  /** [B, L, W] → [B, W] */
  forward(x: Tensor): Tensor {
    return tanh(this.dense.forward(squeeze(narrow(x, 1, 0, 1), 1)));
  }
}
