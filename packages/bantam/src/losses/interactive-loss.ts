import {
  add,
  detach,
  div,
  exp,
  logsumexp,
  mul,
  sub,
  sum,
  unsqueeze,
  type Tensor,
} from '@bantam/torch';
import { scalarLike } from './logits.js';
import {
  blocksOf,
  positivesOf,
  type PairFeatures,
  type PairwiseOptions,
  type ScaledFeatures,
} from './options.js';
import { rowWise } from './row-wise.js';

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
  const blocks = blocksOf(batch, chunk);
  const normalisersOf = (own: Tensor, other: Tensor): Tensor =>
    rowWise([own, other, scale], blocks, (logits) => {
      const normalisers = logsumexp(logits, { dim: 1 });
      const gradient = exp(sub(logits, unsqueeze(normalisers, 1)));
      return { value: sum(normalisers), gradient };
    });
  const normalisers = add(normalisersOf(image, texts), normalisersOf(text, images));
  // Σ_j T_ij·x_i·ŷ_j is x_i times the mean of its positives.
  const matched = (own: Tensor, other: Tensor): Tensor => {
    const { sums, sizes } = positivesOf(other, groups);
    return sum(mul(own, div(sums, sizes)));
  };
  const own = mul(add(matched(image, texts), matched(text, images)), scale);
  return div(sub(normalisers, own), 2 * batch);
}
