import { detach, div, pow, sub, sum, type Tensor } from '@bantam/torch';

/**
 * Feature mimicry of CLIP-KD (Yang et al. 2023, 2307.12732), for one modality: the mean
 * over the pairs of ‖x − x̂‖², x the student's features and x̂ the teacher's; between rows of length 1
 * that is 2 − 2·cos. CLIP-KD's code takes the mean over the D members as well, which makes the loss
 * depend on the width, and a factor of 2000: with its 512 members that is 3.9 times this loss.
 *
 * @param student - [B, D], rows of length 1
 * @param teacher - [B, D], rows of length 1; gets no gradient
 * @returns a scalar, 0 … 4
 */
export function featureLoss(student: Tensor, teacher: Tensor): Tensor {
  return div(sum(pow(sub(student, detach(teacher)), 2)), student.dim(0));
}
