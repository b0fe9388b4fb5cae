import {
  add,
  detach,
  div,
  logsumexp,
  matmul,
  mul,
  narrow,
  sub,
  sum,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { blockWise } from './block-wise.js';
import { scalarLike } from './logits.js';
import {
  blocksOf,
  positivesOf,
  type Block,
  type PairFeatures,
  type PairwiseOptions,
  type ScaledFeatures,
} from './options.js';

/**
 * Interactive contrast of CLIP-KD (Yang et al. 2023, 2307.12732): the student's images
 * against the teacher's texts and its texts against the teacher's images,
 * ½·[CE(s·X·Ŷᵀ, T) + CE(s·Y·X̂ᵀ, T)], with T as in `clipLoss`. With the student as its own teacher it
 * has `clipLoss`'s value.
 *
 * @param student - X, Y and s; CLIP-KD's code learns a factor for this loss alone
 * @param teacher - X̂, Ŷ of the same width; gets no gradient
 * @returns a scalar
 */
export function interactiveLoss(
  { image, text, logitScale }: ScaledFeatures,
  teacher: PairFeatures,
  { groups, chunk }: PairwiseOptions = {},
): Tensor {
  const batch = image.dim(0);
  const scale = scalarLike(image, logitScale);
  const [images, texts] = [detach(teacher.image), detach(teacher.text)];
  type Inputs = readonly [Tensor, Tensor, Tensor];
  const normalisersOf = ({ start, length }: Block, [x, y, s]: Inputs): Tensor => {
    const side = (own: Tensor, other: Tensor): Tensor => {
      const logits = matmul(mul(narrow(own, 0, start, length), s), transpose(other, 0, 1));
      return sum(logsumexp(logits, { dim: 1 }));
    };
    return add(side(x, texts), side(y, images));
  };
  const inputs: Inputs = [image, text, scale];
  const normalisers = blockWise(inputs, blocksOf(batch, chunk), normalisersOf);
  // Σ_j T_ij·x_i·ŷ_j is x_i times the mean of its positives.
  const matched = (own: Tensor, other: Tensor): Tensor => {
    const { sums, sizes } = positivesOf(other, groups);
    return sum(mul(own, div(sums, sizes)));
  };
  const own = mul(add(matched(image, texts), matched(text, images)), scale);
  return div(sub(normalisers, own), 2 * batch);
}
