import {
  add,
  cat,
  contiguous,
  div,
  exp,
  eye,
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
  Operator,
  scope,
  sub,
  sum,
  to,
  transpose,
  zeros,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { minimize } from './lbfgs.js';

export interface LogisticOptions {
  /** Inverse strength of the regularisation, as scikit-learn's `C`. */
  readonly c: number;
  /** 1000 by default. */
  readonly maxIterations?: number;
  /**
   * Largest component of the gradient to end at, relative to the objective; 1e-5 by default, with
   * which the objective is within about 1e-8 of its minimum.
   */
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
  /** Sum of the features of each class, [D + 1, C]. */
  readonly #classSums: Tensor;

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
      return contiguous(transpose(sums, 0, 1));
    });
  }

  /**
   * Minimises mean cross-entropy + ‖W‖²/(2·C·N), the bias unregularised: scikit-learn's
   * LogisticRegression divided by C·N. By L-BFGS in float64, over V = LᵀW in place of W, where LLᵀ is
   * an upper bound of the Hessian of each class (Böhning 1992): features of very different scales
   * then take tens of iterations, not thousands, to the same optimum.
   */
  fit({ c, maxIterations = 1000, tolerance = 1e-5, start }: LogisticOptions): LogisticModel {
    const { samples, width, classes } = this;
    const penalty = 1 / (c * samples);
    const { lower, unscale } = noGrad(() => scope(() => this.#precondition(penalty)));
    const shape = [width + 1, classes];
    const found = minimize({
      start:
        start === undefined
          ? new Float64Array((width + 1) * classes)
          : scope(() => product(transpose(lower, 0, 1), start, shape)),
      maxIterations,
      tolerance: (value) => tolerance * value,
      evaluate: (point) =>
        noGrad(() =>
          scope(() => {
            const weights = matmul(unscale, fromTypedArray(point, { shape }));
            const { value, gradient } = this.#evaluate(weights, penalty);
            const scaled = matmul(transpose(unscale, 0, 1), gradient);
            return { value, gradient: scaled.toTypedArray() as Float64Array };
          }),
        ),
    });
    const weights = product(unscale, found.point, shape);
    lower.dispose();
    unscale.dispose();
    const { value, iterations, converged } = found;
    return { weights, objective: value, iterations, converged };
  }

  /** L of LLᵀ = XᵀX/(2N) + penalty·I, and (Lᵀ)⁻¹. */
  #precondition(penalty: number): { lower: Tensor; unscale: Tensor } {
    const { samples, width } = this;
    const gram = div(matmul(transpose(this.#x, 0, 1), this.#x), 2 * samples);
    const identity = eye(width + 1, { dtype: 'float64' });
    // Features that depend on each other would leave nothing to divide by.
    const floor = (1e-9 * sum(mul(gram, identity)).item()) / (width + 1);
    const bound = add(gram, mul(identity, penalty + floor));
    const lower = choleskyOp.tensor(bound, false);
    const unscale = solveTriangularOp.tensor(transpose(lower, 0, 1), identity, true, true, false);
    return { lower, unscale };
  }

  /** The objective at weights [D + 1, C], and its gradient. */
  #evaluate(weights: Tensor, penalty: number): { value: number; gradient: Tensor } {
    const { samples, width, classes } = this;
    const logits = matmul(this.#x, weights);
    const total = logsumexp(logits, { dim: 1, keepdim: true });
    const loss = mean(sub(total, gather(logits, 1, this.#labels)));
    const probabilities = exp(sub(logits, total));
    const expected = matmul(transpose(this.#x, 0, 1), probabilities);
    const regular = narrow(weights, 0, 0, width);
    const decay = cat([mul(regular, penalty), zeros([1, classes], { dtype: 'float64' })], 0);
    const gradient = add(div(sub(expected, this.#classSums), samples), decay);
    return { value: loss.item() + (penalty / 2) * sum(mul(regular, regular)).item(), gradient };
  }

  /** Frees the features. */
  dispose(): void {
    this.#x.dispose();
    this.#labels.dispose();
    this.#classSums.dispose();
  }
}

const choleskyOp = new Operator('aten::linalg_cholesky');
const solveTriangularOp = new Operator('aten::linalg_solve_triangular');

/** A·B of a table given row after row. */
function product(a: Tensor, b: Float64Array, shape: readonly number[]): Float64Array {
  return noGrad(() =>
    scope(() => matmul(a, fromTypedArray(b, { shape })).toTypedArray() as Float64Array),
  );
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
