import {
  add,
  add_,
  div,
  exp_,
  logsumexp,
  mul,
  neg,
  scope,
  stack,
  sub,
  sum,
  unsqueeze,
  type Tensor,
} from '@bantam/torch';
import {
  logitGradients,
  logitsOf,
  scalarLike,
  withGradients,
  type Computed,
  type LogitInputs,
} from './logits.js';
import { blocksOf, positivesOf, type Block, type PairwiseOptions } from './pairwise.js';

/**
 * The symmetric contrastive loss of CLIP (Radford et al. 2021, figure 3):
 * ½·[CE(s·X·Yᵀ, T) + CE(s·Y·Xᵀ, T)], the mean over the pairs of the batch. T is the pair itself, every
 * other row a negative; with `groups`, T is uniform over the rows of the pair's group.
 *
 * @param imageFeatures - X [B, D], rows of length 1
 * @param textFeatures - Y [B, D], rows of length 1
 * @param logitScale - s, the exponential of the learned parameter
 * @returns a scalar; ln B if all features are equal
 */
export function clipLoss(
  imageFeatures: Tensor,
  textFeatures: Tensor,
  logitScale: Tensor | number,
  { groups, chunk }: PairwiseOptions = {},
): Tensor {
  return scope(() => {
    const batch = imageFeatures.dim(0);
    const scale = scalarLike(imageFeatures, logitScale);
    const inputs = [imageFeatures, textFeatures, scale] as const;
    const blocks = blocksOf(batch, chunk);
    const normalisers = withGradients(inputs, (wanted) => meanNormaliser(inputs, blocks, wanted));
    // Σ_ij T_ij·x_i·y_j is Σ_i of x_i and the mean of its positives.
    const { sums, sizes } = positivesOf(textFeatures, groups);
    const own = mul(sum(mul(imageFeatures, div(sums, sizes))), scale);
    return sub(normalisers, div(own, batch));
  });
}

/**
 * ½·(mean_i r_i + mean_j c_j), with r_i = ln Σ_j e^l_ij and c_j = ln Σ_i e^l_ij. Its gradient with
 * respect to l_ij is (e^(l_ij − r_i) + e^(l_ij − c_j)) / 2B. r is known only after the last block: if
 * there are several, the logits are computed twice.
 */
function meanNormaliser(inputs: LogitInputs, blocks: readonly Block[], wanted: boolean): Computed {
  const batch = inputs[0].dim(0);
  const computed = blocks.map((block) =>
    scope(() => {
      const logits = logitsOf(inputs, block);
      return {
        ...block,
        rowParts: logsumexp(logits, { dim: 1 }),
        columns: logsumexp(logits, { dim: 0 }),
        logits: blocks.length === 1 ? logits : null,
      };
    }),
  );
  const rows = logsumexp(stack(computed.map(({ rowParts }) => rowParts)), { dim: 0 });
  const total = computed.reduce((value, { columns }) => add(value, sum(columns)), sum(rows));
  const value = div(total, 2 * batch);
  if (!wanted) return { value, gradients: [] };
  const logPairs = Math.log(2 * batch);
  const rowShift = neg(unsqueeze(add(rows, logPairs), 1));
  const gradients = logitGradients(inputs, computed, ({ columns, logits, ...block }) => {
    const fresh = logits ?? logitsOf(inputs, block);
    const ofColumns = exp_(sub(fresh, add(columns, logPairs)));
    return add_(exp_(add_(fresh, rowShift)), ofColumns);
  });
  return { value, gradients };
}

/** {@link clipLoss} if all features are equal, with any scale and groups: ln B. */
export function collapsedClipLoss(batch: number): number {
  return Math.log(batch);
}
