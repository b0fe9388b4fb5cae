import {
  LayerNorm,
  Module,
  narrow,
  normalInit,
  Parameter,
  unsqueeze,
  zeros,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { attendFlops } from './attention.js';
import { CrossAttention, type CrossAttentionSizes } from './cross-attention.js';

/** Sizes of {@link AttentionalPooler}. */
export interface AttentionalPoolerSizes extends CrossAttentionSizes {
  readonly queries: number;
}

/** Options of {@link AttentionalPooler}. */
export interface AttentionalPoolerOptions extends AttentionalPoolerSizes {
  /** Draws the initial weights; null leaves them zero, to be loaded. */
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

/** Operations of the pooler for one sequence of n tokens. */
export function attentionalPoolerFlops(
  { width, contextWidth, queries }: AttentionalPoolerSizes,
  tokens: number,
): number {
  const projections = 4 * queries * width ** 2 + 4 * tokens * contextWidth * width;
  return projections + attendFlops({ queries, tokens, width });
}
