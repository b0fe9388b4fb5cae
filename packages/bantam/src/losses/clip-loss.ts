import { add, arange, crossEntropy, matmul, mul, transpose, type Tensor } from '@bantam/torch';

/**
 * The symmetric contrastive loss of CLIP (Radford et al. 2021, figure 3):
 * ½·[CE(s·X·Yᵀ, i) + CE(s·Y·Xᵀ, i)], the mean over the pairs of the batch, where pair i is row i of
 * both and every other row a negative.
 *
 * @param imageFeatures - X [B, D], rows of length 1
 * @param textFeatures - Y [B, D], rows of length 1
 * @param logitScale - s, the exponential of the learned parameter
 * @returns a scalar; ln B where all features are equal
 */
export function clipLoss(
  imageFeatures: Tensor,
  textFeatures: Tensor,
  logitScale: Tensor | number,
): Tensor {
  const { device } = imageFeatures;
  const logits = matmul(mul(imageFeatures, logitScale), transpose(textFeatures, 0, 1));
  const own = arange(imageFeatures.dim(0), { dtype: 'int64', device });
  const toText = crossEntropy(logits, own);
  const toImage = crossEntropy(transpose(logits, 0, 1), own);
  return mul(add(toText, toImage), 0.5);
}
