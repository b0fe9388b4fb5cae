import {
  abs,
  fromTypedArray,
  keep,
  matmul,
  max,
  mul,
  scope,
  sqrt,
  sum,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';

/** Norm of NormSim: 2 or infinity. */
export type NormSimOrder = 2 | 'inf';

/** Target images that NormSim compares with. */
export class NormSimTarget {
  readonly order: NormSimOrder;
  readonly #width: number;
  /** F_targetᵀ: [D, T], or for the 2-norm the Gram matrix F_targetᵀ · F_target: [D, D]. */
  readonly #matrix: Tensor;

  /**
   * @param features image features of the target [T, D], float32, rows of length 1.
   * @throws BantamError for an empty target.
   */
  constructor(features: Float32Array, { width, order }: { width: number; order: NormSimOrder }) {
    if (features.length === 0) {
      throw new BantamError('The target of NormSim has no images; name data that have some.');
    }
    this.order = order;
    this.#width = width;
    this.#matrix = scope(() => {
      const target = fromTypedArray(features, { shape: [features.length / width, width] });
      const columns = transpose(target, 0, 1);
      return keep(order === 2 ? matmul(columns, target) : mul(columns, 1));
    });
  }

  /**
   * NormSim (Wang et al. 2024, arXiv 2405.19547, section 3.2) of images: ‖F_target · f(x)‖ₚ, for p
   * = ∞ the highest absolute cosine with a target image.
   *
   * @param features image features [n, D], float32, rows of length 1.
   */
  scores(features: Float32Array): Float32Array {
    return scope(() => {
      const x = fromTypedArray(features, { shape: [features.length / this.#width, this.#width] });
      const products = matmul(x, this.#matrix);
      const norms =
        this.order === 2 ? sqrt(sum(mul(products, x), { dim: 1 })) : max(abs(products), { dim: 1 });
      return norms.toTypedArray() as Float32Array;
    });
  }

  dispose(): void {
    this.#matrix.dispose();
  }
}
