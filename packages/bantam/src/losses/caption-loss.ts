import { crossEntropy, div, mul, narrow, ne, reshape, sum, to, type Tensor } from '@bantam/torch';

/** What captions of a batch cost, by caption, so that batches can be put together. */
export interface CaptionCosts {
  /** −Σ ln p(token | those before it, picture) of each caption, [B]. */
  readonly cost: Tensor;
  /** How many tokens each sum has, [B]. */
  readonly tokens: Tensor;
}

/**
 * What each caption costs token by token (CoCa, Yu et al. 2022, eq. 4). As in OpenCLIP, tokens of the
 * padding's id count nothing, wherever they stand.
 *
 * @param logits - [B, L − 1, V], what is to follow each token but the last
 * @param ids - int64 [B, L]
 */
export function captionCosts(logits: Tensor, ids: Tensor, padId: number): CaptionCosts {
  const [batch, length, vocabulary] = logits.shape as [number, number, number];
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
