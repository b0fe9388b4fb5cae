import { add, Module, mul, norm, ones, Parameter, pow, to, type Tensor } from '@bantam/torch';

/** Options of {@link RmsNorm}. */
export interface RmsNormOptions {
  width: number;
  /** Added to the root mean square, not under the root. */
  eps: number;
}

/**
 * x/(‖x‖/√d + eps)·weight over the last dimension (Zhang and Sennrich 2019, eq. 4), in float32; it
 * returns the type of its input.
 */
export class RmsNorm extends Module {
  weight: Parameter;
  readonly eps: number;

  constructor({ width, eps }: RmsNormOptions) {
    super();
    this.weight = new Parameter(ones([width]));
    this.eps = eps;
  }

  forward(x: Tensor): Tensor {
    const length = norm(x, { dim: -1, keepdim: true, dtype: 'float32' });
    const factor = pow(add(mul(length, this.weight.size ** -0.5), this.eps), -1);
    return to(mul(mul(x, factor), this.weight), { dtype: x.dtype });
  }
}
