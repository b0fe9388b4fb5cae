import { detach, mean, pow, sub, type Tensor } from '@bantam/torch';

/**
 * Feature mimicry of CLIP-KD (Yang et al. 2023, 2307.12732, section 3.2), for one modality: the mean
 * over all elements of (x − x̂)², x the student's features and x̂ the teacher's. Between rows of length
 * 1 that is (2 − 2·cos)/D, hence weights in the thousands.
 *
 * @param student - [B, D], rows of length 1
 * @param teacher - [B, D], rows of length 1; gets no gradient
 * @returns a scalar, 0 … 4/D
 */
export function featureLoss(student: Tensor, teacher: Tensor): Tensor {
  return mean(pow(sub(student, detach(teacher)), 2));
}
