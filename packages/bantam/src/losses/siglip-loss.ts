import {
  add,
  add_,
  div,
  mul,
  mul_,
  scope,
  sigmoid_,
  softplus,
  sub,
  sum,
  zerosLike,
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
  { logitScale, logitBias, groups, chunk }: SigLipOptions,
): Tensor {
  return scope(() => {
    const batch = imageFeatures.dim(0);
    const scale = scalarLike(imageFeatures, logitScale);
    const bias = scalarLike(imageFeatures, logitBias);
    const inputs = [imageFeatures, textFeatures, scale] as const;
    const blocks = blocksOf(batch, chunk);
    const asNegatives = withGradients([...inputs, bias], () => negativesLoss(inputs, bias, blocks));
    // −ln σ(l) is −ln σ(−l) − l, and Σ_ij l_ij over positives is Σ_i of x_i and the sum of its positives.
    const { sums, sizes } = positivesOf(textFeatures, groups);
    const own = add(mul(sum(mul(imageFeatures, sums)), scale), mul(sum(sizes), bias));
    return sub(asNegatives, div(own, batch));
  });
}

/** −(1/B)·Σ_ij ln σ(−l_ij), whose gradient with respect to l_ij is σ(l_ij)/B. */
function negativesLoss(inputs: LogitInputs, bias: Tensor, blocks: readonly Block[]): Computed {
  const batch = inputs[0].dim(0);
  const value = zerosLike(bias);
  const ofBias = zerosLike(bias);
  const ofLogits = logitGradients(inputs, blocks, (block) => {
    const logits = add_(logitsOf(inputs, block), bias);
    add_(value, sum(softplus(logits)));
    const gradient = mul_(sigmoid_(logits), 1 / batch);
    add_(ofBias, sum(gradient));
    return gradient;
  });
  return { value: div(value, batch), gradients: [...ofLogits, ofBias] };
}

/** {@link sigLipLoss} if all features are equal and no two pairs share a group. */
export function collapsedSigLipLoss(
  batch: number,
  { logitScale, logitBias }: { logitScale: number; logitBias: number },
): number {
  const logit = logitScale + logitBias;
  const surplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  return surplus(-logit) + (batch - 1) * surplus(logit);
}
