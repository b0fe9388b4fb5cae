import {
  cat,
  div,
  exp,
  fromTypedArray,
  gather,
  indexAdd,
  logsumexp,
  matmul,
  mean,
  mul,
  narrow,
  noGrad,
  ones,
  scope,
  sub,
  sum,
  to,
  transpose,
  zeros,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { minimize } from './lbfgs.js';

export interface LogisticOptions {
  /** Inverse strength of the regularisation, as scikit-learn's `C`. */
  readonly c: number;
  /** 1000 by default. */
  readonly maxIterations?: number;
  /** Largest component of the gradient to end at. 1e-5 by default. */
  readonly tolerance?: number;
  /** Weights to start from: those of a neighbouring C save iterations. Zero by default. */
  readonly start?: Float64Array;
}

/** A multinomial logistic regression. */
export interface LogisticModel {
  /** [D + 1, C] row after row, the last row the bias. */
  readonly weights: Float64Array;
  /** Mean cross-entropy plus the penalty, at the optimum. */
  readonly objective: number;
  readonly iterations: number;
  readonly converged: boolean;
}

/** Features with a constant column and their classes, in float64: what logistic regressions share. */
export class LogisticData {
  readonly samples: number;
  readonly width: number;
  /** [N, D + 1] */
  readonly #x: Tensor;
  /** [N, 1] */
  readonly #labels: Tensor;
  /** Sum of the features of each class, [D + 1, C] row after row. */
  readonly #classSums: Float64Array;

  /**
   * @param features [N, D].
   * @param labels Class of each row, from 0.
   * @param classes Number of classes.
   * @throws BantamError for fewer than two classes.
   */
  constructor(
    features: Tensor,
    labels: Int32Array,
    readonly classes: number,
  ) {
    if (new Set(labels).size < 2) {
      throw new BantamError(
        'A linear probe needs images of at least two classes; add classes to the training data.',
      );
    }
    const [samples, width] = [features.dim(0), features.dim(1)];
    this.samples = samples;
    this.width = width;
    this.#x = scope(() => withOnes(features));
    this.#labels = fromTypedArray(BigInt64Array.from(labels, BigInt), { shape: [samples, 1] });
    this.#classSums = scope(() => {
      const ids = fromTypedArray(BigInt64Array.from(labels, BigInt));
      const empty = zeros([classes, width + 1], { dtype: 'float64' });
      const sums = indexAdd(empty, 0, ids, this.#x);
      return transpose(sums, 0, 1).toTypedArray() as Float64Array;
    });
  }

  /**
   * Minimises mean cross-entropy + ‖W‖²/(2·C·N), the bias unregularised: scikit-learn's
   * LogisticRegression divided by C·N. By L-BFGS in float64.
   */
  fit({ c, maxIterations = 1000, tolerance = 1e-5, start }: LogisticOptions): LogisticModel {
    const { samples, width, classes } = this;
    const found = minimize({
      start: start ?? new Float64Array((width + 1) * classes),
      maxIterations,
      tolerance,
      evaluate: (weights) => noGrad(() => scope(() => this.#evaluate(weights, 1 / (c * samples)))),
    });
    const { point, value, iterations, converged } = found;
    return { weights: point, objective: value, iterations, converged };
  }

  #evaluate(values: Float64Array, penalty: number) {
    const { samples, width, classes } = this;
    const weights = fromTypedArray(values, { shape: [width + 1, classes] });
    const logits = matmul(this.#x, weights);
    const total = logsumexp(logits, { dim: 1, keepdim: true });
    const own = gather(logits, 1, this.#labels);
    const loss = mean(sub(total, own));
    const probabilities = exp(sub(logits, total));
    const gradient = div(matmul(transpose(this.#x, 0, 1), probabilities), samples);
    const regular = narrow(weights, 0, 0, width);
    const gradients = gradient.toTypedArray() as Float64Array;
    const regularised = width * classes;
    for (let i = 0; i < gradients.length; i++) {
      const decay = i < regularised ? penalty * at(values, i) : 0;
      gradients[i] = at(gradients, i) - at(this.#classSums, i) / samples + decay;
    }
    const value = loss.item() + (penalty / 2) * sum(mul(regular, regular)).item();
    return { value, gradient: gradients };
  }

  /** Frees the features. */
  dispose(): void {
    this.#x.dispose();
    this.#labels.dispose();
  }
}

function withOnes(features: Tensor): Tensor {
  const wide = to(features, { dtype: 'float64' });
  return cat([wide, ones([features.dim(0), 1], { dtype: 'float64' })], 1);
}

/** Logits [N, C] of features [N, D] in float64. */
export function logisticLogits({ weights }: LogisticModel, features: Tensor): Tensor {
  const rows = features.dim(1) + 1;
  return noGrad(() =>
    scope(() => {
      const table = fromTypedArray(weights, { shape: [rows, weights.length / rows] });
      return matmul(withOnes(features), table);
    }),
  );
}
