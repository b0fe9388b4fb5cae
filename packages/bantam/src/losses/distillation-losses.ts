/** Losses of a student with teachers: features, relations, and contrast with the teachers' features. */
import {
  add,
  detach,
  div,
  exp,
  logSoftmax,
  logsumexp,
  matmul,
  mul,
  narrow,
  pow,
  scope,
  stack,
  sub,
  sum,
  transpose,
  unsqueeze,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { rowWise, scalarLike } from './logits.js';
import {
  blocksOf,
  positivesOf,
  type Block,
  type PairFeatures,
  type PairwiseOptions,
  type ScaledFeatures,
} from './pairwise.js';

/**
 * Feature mimicry of CLIP-KD (Yang et al. 2023, 2307.12732), for one modality: the mean
 * over the pairs of ‖x − x̂‖², x the student's features and x̂ the teacher's; between rows of length 1
 * that is 2 − 2·cos. CLIP-KD's code takes the mean over the D members as well, which makes the loss
 * depend on the width, and a weight of 2000: with its 512 members that is 3.9 times this loss.
 *
 * @param student - [B, D], rows of length 1
 * @param teacher - [B, D], rows of length 1; gets no gradient
 * @returns a scalar, 0 … 4
 */
export function featureLoss(student: Tensor, teacher: Tensor): Tensor {
  return div(sum(pow(sub(student, detach(teacher)), 2)), student.dim(0));
}

/**
 * Interactive contrast of CLIP-KD (Yang et al. 2023, 2307.12732): the student's images
 * against the teacher's texts and its texts against the teacher's images,
 * ½·[CE(s·X·Ŷᵀ, T) + CE(s·Y·X̂ᵀ, T)], with T as in `clipLoss`. With the student as its own teacher it
 * has `clipLoss`'s value.
 *
 * @param student - X, Y and s; CLIP-KD's code learns a scale for this loss alone
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

/** ln softmax(s·a·bᵀ) of a block of rows of a: [length, B]. */
function logRows(a: Tensor, b: Tensor, scale: Tensor | number, { start, length }: Block): Tensor {
  return logSoftmax(matmul(mul(narrow(a, 0, start, length), scale), transpose(b, 0, 1)), 1);
}

/** ln of the mean of distributions that are given as logarithms. */
function logMean(logs: readonly Tensor[]): Tensor {
  return sub(logsumexp(stack(logs), { dim: 0 }), Math.log(logs.length));
}

/**
 * Distillation of contrastive relations: ½·[KL(P ‖ softmax(s·X·Yᵀ)) + KL(Q ‖ softmax(s·Y·Xᵀ))], the mean
 * over rows, where P = (1/K)·Σ_k softmax(s_k·A_k·B_kᵀ) and Q = (1/K)·Σ_k softmax(s_k·B_k·A_kᵀ) are means of
 * K teachers after the softmax (MobileCLIP, Vasu et al. 2024, 2311.17049). With one teacher it is
 * CLIP-KD's relation loss (Yang et al. 2023, 2307.12732), with a fixed scale of 50 for the teacher
 * TinyCLIP's affinity mimicking (Wu et al. 2023, 2309.12314). MobileCLIP and TinyCLIP take the
 * cross-entropy, which is larger by the entropy of P and Q and has the same gradient; the divergence is
 * 0 if student and teacher agree.
 *
 * @param teachers - one or more, of any widths; they get no gradient
 * @param options - `chunk`: rows whose logits are in memory at a time
 * @returns a scalar, at least 0
 */
export function relationLoss(
  { image, text, logitScale }: ScaledFeatures,
  teachers: readonly ScaledFeatures[],
  { chunk }: Pick<PairwiseOptions, 'chunk'> = {},
): Tensor {
  if (teachers.length === 0) throw new BantamError('The relation loss needs a teacher.');
  const batch = image.dim(0);
  const blocks = blocksOf(batch, chunk);
  const scale = scalarLike(image, logitScale);
  const divergence = (a: Tensor, b: Tensor, targetOf: (block: Block) => Tensor): Tensor =>
    rowWise([a, b, scale], blocks, (logits, block) => {
      const target = scope(() => targetOf(block));
      const own = logSoftmax(logits, 1);
      const wanted = exp(target);
      return {
        value: scope(() => sum(mul(wanted, sub(target, own)))),
        gradient: sub(exp(own), wanted),
      };
    });
  const toText = divergence(image, text, (block) =>
    logMean(teachers.map((one) => logRows(one.image, one.text, one.logitScale, block))),
  );
  const toImage = divergence(text, image, (block) =>
    logMean(teachers.map((one) => logRows(one.text, one.image, one.logitScale, block))),
  );
  return div(add(toText, toImage), 2 * batch);
}
