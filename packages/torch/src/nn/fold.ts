import { noGrad } from '../autograd.js';
import { add, div, mul, sqrt, sub } from '../ops/arithmetic.js';
import { reshape } from '../ops/shape.js';
import type { Tensor } from '../tensor.js';
import type { BatchNorm2d } from './norm.js';

/** Weight [out, in/groups, kh, kw] and bias [out] of a convolution. */
export interface ConvWeights {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/**
 * The convolution that computes what a convolution followed by batch norm computes in evaluation:
 * W′ = W·γ/√(σ² + ε), b′ = β + (b − μ)·γ/√(σ² + ε) (Ding et al. 2021, "RepVGG", eq. 3). The result
 * carries no gradients.
 *
 * @param bias - Of the convolution; null: none.
 */
export function foldBatchNorm(
  weight: Tensor,
  bias: Tensor | null,
  norm: Pick<BatchNorm2d, 'weight' | 'bias' | 'runningMean' | 'runningVar' | 'eps'>,
): ConvWeights {
  return noGrad(() => {
    const scale = div(norm.weight, sqrt(add(norm.runningVar, norm.eps)));
    const centre = bias === null ? norm.runningMean : sub(norm.runningMean, bias);
    return {
      weight: mul(weight, reshape(scale, [-1, 1, 1, 1])),
      bias: sub(norm.bias, mul(centre, scale)),
    };
  });
}
