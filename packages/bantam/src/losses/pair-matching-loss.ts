import { add, indexSelect, mean, mul, neg, softplus, type Tensor } from '@bantam/torch';
import { hardNegatives, type HardNegativesOptions } from './hard-negatives.js';
import type { PairFeatures } from './options.js';

/** Options of {@link pairMatchingLoss}. */
export interface PairMatchingOptions extends HardNegativesOptions {
  /** The matcher: rows of images and of texts, [N, D] each, → logits [N] of their being pairs. */
  readonly match: (image: Tensor, text: Tensor) => Tensor;
}

/**
 * Pair Matching (SiCLIP, Liu 2024, 2411.14789): a matcher tells pairs from hard negatives of the batch
 * ({@link hardNegatives}). The paper publishes the idea alone; what follows is ours. Binary
 * cross-entropy with equal weight for both sides, whatever the number of negatives:
 * ½·mean ln(1 + e^(−z)) over the B pairs + ½·mean ln(1 + e^z) over the negatives; where a batch has no
 * negatives, the first half alone.
 *
 * @param features - X and Y, which get gradients through the matcher; the choice of negatives has none
 * @returns a scalar; ln 2 where the matcher gives 0
 */
export function pairMatchingLoss(
  { image, text }: PairFeatures,
  { match, ...choice }: PairMatchingOptions,
): Tensor {
  const matched = mul(mean(softplus(neg(match(image, text)))), 0.5);
  const rows = hardNegatives({ image, text }, choice);
  if (rows.image.size === 0) return matched;
  const logits = match(indexSelect(image, 0, rows.image), indexSelect(text, 0, rows.text));
  return add(matched, mul(mean(softplus(logits)), 0.5));
}
