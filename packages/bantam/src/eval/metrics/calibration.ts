import {
  exp,
  fromTypedArray,
  gather,
  logsumexp,
  matmul,
  max,
  mul,
  noGrad,
  scope,
  squeeze,
  sub,
  sum,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { mean } from '../../base/statistics.js';

/** A bin of a reliability diagram. */
export interface ReliabilityBin {
  /** Confidences above this and up to {@link high}. */
  readonly low: number;
  readonly high: number;
  readonly samples: number;
  /** Mean confidence; null if the bin is empty. */
  readonly confidence: number | null;
  /** Fraction classified right; null if the bin is empty. */
  readonly accuracy: number | null;
}

/** How well the probabilities of a classifier agree with how often it is right. */
export interface Calibration {
  /** Expected calibration error Σ_b |B_b|/N·|acc(B_b) − conf(B_b)|. */
  readonly ece: number;
  /** Mean negative log-likelihood of the true classes. */
  readonly nll: number;
  /** Multiplies the cosine similarities: exp of the model's logit scale. */
  readonly scale: number;
  readonly bins: readonly ReliabilityBin[];
  /** With one parameter fitted: logits divided by a temperature. */
  readonly fitted: {
    /** Temperature of all images. */
    readonly temperature: number;
    /** Both measured on the half of the images that the temperature was not fitted on. */
    readonly ece: number;
    readonly nll: number;
  };
}

export interface CalibrationInput {
  /** [N, D] float32, L2-normalised; each image has a class. */
  readonly image: Tensor;
  /** [C, D] of the classifier. */
  readonly weights: Tensor;
  /** Class of each image. */
  readonly labels: Int32Array;
  /** exp of the model's logit scale. */
  readonly scale: number;
  /** 15 by default, as Guo et al. */
  readonly bins?: number;
}

/** Scores that may exist at a time. */
const maxScores = 2 ** 22;

/**
 * Calibration of softmax(scale·x·Wᵀ): expected calibration error over equal bins of confidence and a
 * temperature that minimises the negative log-likelihood (Guo et al. 2017, "On calibration of
 * modern neural networks", sections 2 and 4.2). The temperature is fitted twice, on the even and on
 * the odd images, and measured on the others.
 */
export function calibration(input: CalibrationInput): Calibration {
  const { scale, labels, bins = 15 } = input;
  const all = Array.from(labels, (_, row) => row);
  const even = all.filter((row) => row % 2 === 0);
  const odd = all.filter((row) => row % 2 === 1);
  const plain = measure(input, 1, all);
  const halves = [
    { fit: even, rest: odd },
    { fit: odd, rest: even },
  ].filter(({ fit, rest }) => fit.length > 0 && rest.length > 0);
  const parts = halves.map(({ fit, rest }) => measure(input, fitBeta(input, fit), rest));
  const tempered = parts.length === 0 ? plain : joined(parts);
  const table = reliability(plain, bins);
  return {
    ece: expectedError(table, plain.confidence.length),
    nll: mean(plain.loss),
    scale,
    bins: table,
    fitted: {
      temperature: 1 / fitBeta(input, all),
      ece: expectedError(reliability(tempered, bins), tempered.confidence.length),
      nll: mean(tempered.loss),
    },
  };
}

/** Of each image: probability of the answer, whether it is right, −ln p of the true class. */
interface Measured {
  readonly confidence: Float32Array;
  readonly right: Uint8Array;
  readonly loss: Float32Array;
}

function measure(input: CalibrationInput, beta: number, rows: readonly number[]): Measured {
  const confidence = new Float32Array(rows.length);
  const right = new Uint8Array(rows.length);
  const loss = new Float32Array(rows.length);
  forChunks(input, rows, (logits, truth, start) => {
    const z = mul(logits, beta);
    const total = logsumexp(z, { dim: 1 });
    const best = max(z, { dim: 1 });
    const own = squeeze(gather(z, 1, truth), 1);
    const topOf = sub(best, total).toTypedArray();
    const ownOf = sub(own, total).toTypedArray();
    topOf.forEach((value, row) => {
      confidence[start + row] = Math.exp(Number(value));
      loss[start + row] = -Number(ownOf[row]);
      // Of equal scores any may be the answer; the true class then counts as right.
      right[start + row] = Number(ownOf[row]) >= Number(value) ? 1 : 0;
    });
  });
  return { confidence, right, loss };
}

/**
 * The inverse temperature β that minimises Σ ln Σ e^{βz} − βz_y, a convex function, by Newton's
 * method: its derivatives are E_p[z] − z_y and Var_p[z].
 */
function fitBeta(input: CalibrationInput, rows: readonly number[]): number {
  let beta = 1;
  for (let step = 0; step < 50; step++) {
    let slope = 0;
    let curvature = 0;
    const point = beta;
    forChunks(input, rows, (logits, truth) => {
      const z = mul(logits, point);
      const p = exp(sub(z, logsumexp(z, { dim: 1, keepdim: true })));
      const weighted = mul(p, logits);
      const first = sum(weighted, { dim: 1 });
      const own = squeeze(gather(logits, 1, truth), 1);
      slope += sum(sub(first, own)).item();
      curvature += sub(sum(mul(weighted, logits)), sum(mul(first, first))).item();
    });
    if (!(curvature > 0)) return beta;
    // Stays positive; far steps overshoot where the curvature is small.
    const next = Math.min(beta * 4, Math.max(beta / 4, beta - slope / curvature));
    const moved = Math.abs(next - beta) / beta;
    beta = next;
    if (moved < 1e-6 || beta < 1e-4 || beta > 1e4) break;
  }
  return beta;
}

/** Calls back with logits [n, C] and true classes [n, 1] of some images, a chunk at a time. */
function forChunks(
  { image, weights, labels, scale }: CalibrationInput,
  rows: readonly number[],
  use: (logits: Tensor, truth: Tensor, start: number) => void,
): void {
  const step = Math.max(1, Math.floor(maxScores / weights.dim(0)));
  const width = image.dim(1);
  const features = image.toTypedArray() as Float32Array;
  for (let start = 0; start < rows.length; start += step) {
    const chosen = rows.slice(start, start + step);
    const part = new Float32Array(chosen.length * width);
    chosen.forEach((row, i) => {
      part.set(features.subarray(row * width, (row + 1) * width), i * width);
    });
    noGrad(() => {
      scope(() => {
        const x = fromTypedArray(part, { shape: [chosen.length, width] });
        const logits = mul(matmul(x, transpose(weights, 0, 1)), scale);
        const ids = BigInt64Array.from(chosen, (row) => BigInt(at(labels, row)));
        use(logits, fromTypedArray(ids, { shape: [chosen.length, 1] }), start);
      });
    });
  }
}

function reliability({ confidence, right }: Measured, bins: number): ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ samples: 0, confidence: 0, right: 0 }));
  confidence.forEach((value, row) => {
    const bin = at(sums, Math.min(bins - 1, Math.max(0, Math.ceil(value * bins) - 1)));
    bin.samples++;
    bin.confidence += value;
    bin.right += at(right, row);
  });
  return sums.map(({ samples, confidence: total, right: hits }, bin) => ({
    low: bin / bins,
    high: (bin + 1) / bins,
    samples,
    confidence: samples === 0 ? null : total / samples,
    accuracy: samples === 0 ? null : hits / samples,
  }));
}

function expectedError(bins: readonly ReliabilityBin[], total: number): number {
  let weightedSum = 0;
  for (const { samples, confidence, accuracy } of bins) {
    if (confidence !== null && accuracy !== null)
      weightedSum += samples * Math.abs(accuracy - confidence);
  }
  return weightedSum / total;
}

function joined(parts: readonly Measured[]): Measured {
  return {
    confidence: Float32Array.from(parts.flatMap((part) => [...part.confidence])),
    right: Uint8Array.from(parts.flatMap((part) => [...part.right])),
    loss: Float32Array.from(parts.flatMap((part) => [...part.loss])),
  };
}
