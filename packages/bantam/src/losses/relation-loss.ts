import {
  add,
  div,
  exp,
  logSoftmax,
  logsumexp,
  matmul,
  mul,
  narrow,
  scope,
  stack,
  sub,
  sum,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { scalarLike } from './logits.js';
import { blocksOf, type Block, type PairwiseOptions, type ScaledFeatures } from './options.js';
import { rowWise } from './row-wise.js';

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
