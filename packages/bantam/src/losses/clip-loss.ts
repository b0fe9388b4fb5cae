import {
  add,
  arange,
  crossEntropy,
  div,
  exp,
  logsumexp,
  matmul,
  mul,
  narrow,
  noGrad,
  scope,
  stack,
  sub,
  sum,
  to,
  transpose,
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

/** s·X·Yᵀ for a block of texts [B, length] */
function logitsOf(image: Tensor, text: Tensor, scale: Tensor, { start, length }: Block): Tensor {
  return matmul(mul(image, scale), transpose(narrow(text, 0, start, length), 0, 1));
}

/** The target distribution's columns of a block: uniform over the positives of each row. */
function targetOf(groups: Tensor, block: Block, like: Tensor): Tensor {
  const all = to(positives(groups, { start: 0, length: groups.dim(0) }), { dtype: like.dtype });
  return div(narrow(all, 1, block.start, block.length), sum(all, { dim: 1, keepdim: true }));
}

/**
 * The symmetric contrastive loss of CLIP (Radford et al. 2021, figure 3):
 * ½·[CE(s·X·Yᵀ, T) + CE(s·Y·Xᵀ, T)], the mean over the pairs of the batch. T is the pair itself, every
 * other row a negative; with `groups`, T is uniform over the rows of the pair's group.
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
  { groups, chunk }: PairwiseOptions = {},
): Tensor {
  const { device } = imageFeatures;
  const batch = imageFeatures.dim(0);
  const blocks = blocksOf(batch, chunk);
  if (blocks.length > 1) {
    const scale = scalar(logitScale, imageFeatures);
    return chunkedClipLoss([imageFeatures, textFeatures, scale], blocks, groups);
  }
  const logits = matmul(mul(imageFeatures, logitScale), transpose(textFeatures, 0, 1));
  const target =
    groups === undefined
      ? arange(batch, { device })
      : targetOf(groupsOf(imageFeatures, groups), { start: 0, length: batch }, logits);
  const toText = crossEntropy(logits, target);
  const toImage = crossEntropy(transpose(logits, 0, 1), target);
  return mul(add(toText, toImage), 0.5);
}

/**
 * The same over blocks of texts. With r_i = ln Σ_j e^l_ij over all blocks, known from a first pass,
 * Σ_i exp(ln Σ_{j in block} e^l_ij − r_i) has the gradient of Σ_i r_i's part in the block; these terms
 * add up to B, which is taken off again.
 */
function chunkedClipLoss(
  inputs: readonly [Tensor, Tensor, Tensor],
  blocks: readonly Block[],
  given: Tensor | undefined,
): Tensor {
  const batch = inputs[0].dim(0);
  const groups = groupsOf(inputs[0], given);
  const rows = noGrad(() =>
    logsumexp(
      stack(blocks.map((block) => scope(() => logsumexp(logitsOf(...inputs, block), { dim: 1 })))),
      { dim: 0 },
    ),
  );
  // Σ_j of each row's positives, for the target's weights
  const sizes = noGrad(() =>
    blocks
      .map((block) =>
        scope(() => sum(to(positives(groups, block), { dtype: rows.dtype }), { dim: 1 })),
      )
      .reduce((a, b) => add(a, b)),
  );
  const total = blockWise(inputs, blocks, (block, [image, text, scale]) => {
    const logits = logitsOf(image, text, scale, block);
    const ownRows = sum(exp(sub(logsumexp(logits, { dim: 1 }), rows)));
    const columns = sum(logsumexp(logits, { dim: 0 }));
    const target = div(
      to(positives(groups, block), { dtype: rows.dtype }),
      transpose(stack([sizes]), 0, 1),
    );
    return sub(div(add(ownRows, columns), 2 * batch), div(sum(mul(target, logits)), batch));
  });
  return add(total, div(sum(sub(rows, 1)), 2 * batch));
}

/** {@link clipLoss} where all features are equal, whatever the scale and the groups: ln B. */
export function collapsedClipLoss(batch: number): number {
  return Math.log(batch);
}
