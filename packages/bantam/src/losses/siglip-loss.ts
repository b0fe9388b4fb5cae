import {
  add,
  div,
  matmul,
  mul,
  narrow,
  neg,
  softplus,
  sum,
  transpose,
  where,
  type Tensor,
} from '@bantam/torch';
import { blockWise } from './block-wise.js';
import {
  blocksOf,
  groupsOf,
  positives,
  scalar,
  type Block,
  type PairwiseOptions,
} from './options.js';

/** Options of {@link sigLipLoss}. */
export interface SigLipOptions extends PairwiseOptions {
  /** t, the exponential of the learned parameter; the paper starts it at 10. */
  logitScale: Tensor | number;
  /** b; the paper starts it at −10. */
  logitBias: Tensor | number;
}

/**
 * The pairwise sigmoid loss of SigLIP (Zhai et al. 2023, 2303.15343, section 3.2):
 * −(1/B)·Σ_i Σ_j ln σ(z_ij·(t·x_i·y_j + b)), z = 1 for a pair and for rows of one group, else −1.
 *
 * @param imageFeatures - X [B, D], rows of length 1
 * @param textFeatures - Y [B, D], rows of length 1
 * @returns a scalar
 */
export function sigLipLoss(
  imageFeatures: Tensor,
  textFeatures: Tensor,
  { logitScale, logitBias, groups: given, chunk }: SigLipOptions,
): Tensor {
  const batch = imageFeatures.dim(0);
  const groups = groupsOf(imageFeatures, given);
  const [scale, bias] = [scalar(logitScale, imageFeatures), scalar(logitBias, imageFeatures)];
  type Inputs = readonly [Tensor, Tensor, Tensor, Tensor];
  const lossOf = (block: Block, [x, y, t, b]: Inputs): Tensor => {
    const texts = transpose(narrow(y, 0, block.start, block.length), 0, 1);
    const logits = add(matmul(mul(x, t), texts), b);
    return div(sum(softplus(where(positives(groups, block), neg(logits), logits))), batch);
  };
  const inputs: Inputs = [imageFeatures, textFeatures, scale, bias];
  return blockWise(inputs, blocksOf(batch, chunk), lossOf);
}

/** {@link sigLipLoss} where all features are equal and no two pairs share a group. */
export function collapsedSigLipLoss(
  batch: number,
  { logitScale, logitBias }: { logitScale: number; logitBias: number },
): number {
  const logit = logitScale + logitBias;
  const surplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  return surplus(-logit) + (batch - 1) * surplus(logit);
}
