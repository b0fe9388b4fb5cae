/** Pair Matching: a matcher tells pairs from hard negatives of the batch. */
import {
  abs,
  add,
  arange,
  argmax,
  cat,
  eq,
  fromTypedArray,
  gt,
  indexSelect,
  maskedFill,
  matmul,
  max,
  mean,
  mul,
  neg,
  noGrad,
  nonzero,
  reshape,
  softplus,
  to,
  transpose,
  unsqueeze,
  type Tensor,
} from '@bantam/torch';
import { at } from '../base/at.js';
import { assign } from './assignment.js';
import { checkGroups, type PairFeatures, type PairwiseOptions } from './pairwise.js';

/** Choice of the pairs that do not match. */
export type NegativeChoice = 'hardest' | 'assignment';

/** Options of {@link hardNegatives}. */
export interface HardNegativesOptions extends Pick<PairwiseOptions, 'groups'> {
  /**
   * `hardest`: for each image the most similar text of another group, and for each text the most
   * similar image, 2B pairs. `assignment`: every image and every text once, B pairs, so that their
   * similarities add up to the most (a derangement); see {@link assign} for its cost.
   */
  readonly choice: NegativeChoice;
}

/** Pairs of rows: int64 [N] each. */
export interface RowPairs {
  readonly image: Tensor;
  readonly text: Tensor;
}

/**
 * Pairs of a batch that do not match but are similar, chosen without gradient by the similarity
 * X·Yᵀ. Rows without any row of another group are left out: with a single pair, or equal
 * captions throughout, there are none.
 */
export function hardNegatives(
  { image, text }: PairFeatures,
  { choice, groups }: HardNegativesOptions,
): RowPairs {
  return noGrad(() => {
    const batch = image.dim(0);
    const similarity = matmul(image, transpose(text, 0, 1));
    if (groups !== undefined) checkGroups(groups, batch);
    const numbers = groups ?? arange(batch, { device: image.device });
    const own = eq(unsqueeze(numbers, 1), unsqueeze(numbers, 0));
    return choice === 'hardest' ? hardest(similarity, own) : assigned(similarity, own);
  });
}

function hardest(similarity: Tensor, own: Tensor): RowPairs {
  const others = maskedFill(similarity, own, -Infinity);
  const side = (rows: Tensor): { row: Tensor; choice: Tensor } => {
    const row = reshape(nonzero(gt(max(rows, { dim: 1 }), -Infinity)), [-1]);
    return { row, choice: indexSelect(argmax(rows, { dim: 1 }), 0, row) };
  };
  const ofImages = side(others);
  const ofTexts = side(transpose(others, 0, 1));
  return {
    image: cat([ofImages.row, ofTexts.choice]),
    text: cat([ofImages.choice, ofTexts.row]),
  };
}

function assigned(similarity: Tensor, own: Tensor): RowPairs {
  const batch = similarity.dim(0);
  const largest = max(abs(similarity)).item();
  // More than all others together can differ, so that a pair of one group is a last resort.
  const gains = maskedFill(similarity, own, -(2 * batch * largest + 1));
  const cost = to(neg(gains), { dtype: 'float64' }).toTypedArray() as Float64Array;
  const pairs = [...assign(cost, batch).entries()].filter(
    ([row, column]) => at(cost, row * batch + column) <= largest,
  );
  const rows = (side: 0 | 1): Tensor =>
    to(fromTypedArray(BigInt64Array.from(pairs, (pair) => BigInt(pair[side]))), {
      device: similarity.device,
    });
  return { image: rows(0), text: rows(1) };
}

/** Options of {@link pairMatchingLoss}. */
export interface PairMatchingOptions extends HardNegativesOptions {
  /** The matcher: rows of images and of texts, [N, D] each, → logits [N] of their being pairs. */
  readonly match: (image: Tensor, text: Tensor) => Tensor;
}

/**
 * Pair Matching (SiCLIP, Liu 2024, 2411.14789): a matcher tells pairs from hard negatives of the batch
 * ({@link hardNegatives}). The paper publishes the idea alone; the rest is ours. Binary
 * cross-entropy with equal weight for both sides, independent of the number of negatives:
 * ½·mean ln(1 + e^(−z)) over the B pairs + ½·mean ln(1 + e^z) over the negatives; if a batch has no
 * negatives, the first half alone.
 *
 * @param features - X and Y, which get gradients through the matcher; the choice of negatives has none
 * @returns a scalar; ln 2 if the matcher gives 0
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
