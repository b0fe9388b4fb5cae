import {
  add,
  div,
  exp,
  logSoftmax,
  logsumexp,
  matmul,
  mul,
  narrow,
  noGrad,
  stack,
  sub,
  sum,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../errors.js';
import { blockWise } from './block-wise.js';
import { scalarLike } from './logits.js';
import { blocksOf, type Block, type PairwiseOptions, type ScaledFeatures } from './options.js';

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
 * 0 where student and teacher agree.
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
  type Inputs = readonly [Tensor, Tensor, Tensor];
  const lossOf = (block: Block, [x, y, scale]: Inputs): Tensor => {
    const divergence = (student: Tensor, targets: readonly Tensor[]): Tensor => {
      const target = logMean(targets);
      return sum(mul(exp(target), sub(target, student)));
    };
    const targets = noGrad(() => ({
      toText: teachers.map((one) => logRows(one.image, one.text, one.logitScale, block)),
      toImage: teachers.map((one) => logRows(one.text, one.image, one.logitScale, block)),
    }));
    const toText = divergence(logRows(x, y, scale, block), targets.toText);
    const toImage = divergence(logRows(y, x, scale, block), targets.toImage);
    return div(add(toText, toImage), 2 * batch);
  };
  const inputs: Inputs = [image, text, scalarLike(image, logitScale)];
  return blockWise(inputs, blocksOf(batch, chunk), lossOf);
}
