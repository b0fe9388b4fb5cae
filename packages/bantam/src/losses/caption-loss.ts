import {
  crossEntropy,
  dims,
  div,
  mul,
  narrow,
  ne,
  reshape,
  sum,
  to,
  type Tensor,
} from '@bantam/torch';

/** Costs of the captions of a batch, by caption, so that micro-batches can be joined. */
export interface CaptionCosts {
  /** −Σ ln p(token | those before it, image) of each caption, [B]. */
  readonly cost: Tensor;
  /** Tokens of each sum, [B]. */
  readonly tokens: Tensor;
}

/**
 * The cost of each caption, token by token (CoCa, Yu et al. 2022, eq. 4). As in OpenCLIP, tokens with the
 * padding's id count nothing, at any position.
 *
 * @param logits - [B, L − 1, V], predictions of the token after each but the last
 * @param ids - int64 [B, L]
 */
export function captionCosts(logits: Tensor, ids: Tensor, padId: number): CaptionCosts {
  const [batch, length, vocabulary] = dims(logits, 3);
  const targets = narrow(ids, 1, 1, length);
  const flat = reshape(logits, [batch * length, vocabulary]);
  const costs = crossEntropy(flat, reshape(targets, [batch * length]), { reduction: 'none' });
  const counted = to(ne(targets, padId), { dtype: costs.dtype });
  return {
    cost: sum(mul(reshape(costs, [batch, length]), counted), { dim: 1 }),
    tokens: sum(counted, { dim: 1 }),
  };
}

/** The mean cost of a token over all captions: Σ cost / Σ tokens. */
export function captionLoss({ cost, tokens }: CaptionCosts): Tensor {
  return div(sum(cost), sum(tokens));
}
