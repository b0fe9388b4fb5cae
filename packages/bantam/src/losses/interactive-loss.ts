import {
  add,
  arange,
  crossEntropy,
  detach,
  div,
  matmul,
  mul,
  narrow,
  sum,
  to,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { blockWise } from './block-wise.js';
import {
  blocksOf,
  positives,
  groupsOf,
  scalar,
  type Block,
  type PairFeatures,
  type PairwiseOptions,
  type ScaledFeatures,
} from './options.js';

/**
 * Interactive contrast of CLIP-KD (Yang et al. 2023, 2307.12732, section 3.2): the student's images
 * against the teacher's texts and its texts against the teacher's images,
 * ½·[CE(s·X·Ŷᵀ, T) + CE(s·Y·X̂ᵀ, T)], with T as in `clipLoss`. With the student as its own teacher it
 * has `clipLoss`'s value.
 *
 * @param student - X, Y and s; s is the student's, as the paper has one temperature
 * @param teacher - X̂, Ŷ of the same width; gets no gradient
 * @returns a scalar
 */
export function interactiveLoss(
  { image, text, logitScale }: ScaledFeatures,
  teacher: PairFeatures,
  { groups, chunk }: PairwiseOptions = {},
): Tensor {
  const batch = image.dim(0);
  const [images, texts] = [detach(teacher.image), detach(teacher.text)];
  const targetOf = ({ start, length }: Block, { dtype, device }: Tensor): Tensor => {
    if (groups === undefined) return arange(start + length, { start, device });
    const block = { start, length };
    const own = to(transpose(positives(groupsOf(image, groups), block), 0, 1), { dtype });
    return div(own, sum(own, { dim: 1, keepdim: true }));
  };
  type Inputs = readonly [Tensor, Tensor, Tensor];
  const lossOf = (block: Block, [x, y, scale]: Inputs): Tensor => {
    const target = targetOf(block, x);
    const side = (own: Tensor, other: Tensor): Tensor => {
      const rows = narrow(own, 0, block.start, block.length);
      const logits = matmul(mul(rows, scale), transpose(other, 0, 1));
      return crossEntropy(logits, target, { reduction: 'sum' });
    };
    return div(add(side(x, texts), side(y, images)), 2 * batch);
  };
  const inputs: Inputs = [image, text, scalar(logitScale, image)];
  return blockWise(inputs, blocksOf(batch, chunk), lossOf);
}
