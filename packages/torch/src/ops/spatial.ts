/** Pooling and interpolation of feature maps and sequences. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { sides, type PerSide } from './conv.js';

const avgPoolOp = new Operator('aten::avg_pool2d');
const maxPoolOp = new Operator('aten::max_pool2d');
const bicubicOp = new Operator('aten::_upsample_bicubic2d_aa');
const linearOp = new Operator('aten::upsample_linear1d');

/** Options of {@link maxPool2d}; a pair is (vertical, horizontal). */
export interface PoolOptions {
  kernel: PerSide;
  /** Default: the kernel. */
  stride?: PerSide;
  /** Padding around the input: 0 for a mean, −∞ for a maximum. Default 0. */
  padding?: PerSide;
}

/** Options of {@link avgPool2d}. */
export interface AvgPoolOptions extends PoolOptions {
  /** Padding counts as elements of the mean. Default true. */
  countPadding?: boolean;
}

/** Means over the kernel: [N, C, H, W] → [N, C, H′, W′] */
export function avgPool2d(
  x: Tensor,
  { kernel, stride = kernel, padding = 0, countPadding = true }: AvgPoolOptions,
): Tensor {
  return avgPoolOp.tensor(x, sides(kernel), sides(stride), sides(padding), false, countPadding);
}

/** Maxima over the kernel: [N, C, H, W] → [N, C, H′, W′] */
export function maxPool2d(
  x: Tensor,
  { kernel, stride = kernel, padding = 0 }: PoolOptions,
): Tensor {
  return maxPoolOp.tensor(x, sides(kernel), sides(stride), sides(padding));
}

/**
 * x [N, C, H, W] (`bicubic`) or [N, C, L] (`linear`) interpolated to `size`, with pixels as areas
 * (PyTorch's `align_corners=False`). The bicubic filter (a = −0.5) is widened when it shrinks, as
 * PyTorch's with `antialias`; the linear one is not.
 */
export function resize(
  x: Tensor,
  size: readonly number[],
  { mode }: { mode: 'bicubic' | 'linear' },
): Tensor {
  return mode === 'bicubic'
    ? bicubicOp.tensor(x, size, false, null, null)
    : linearOp.tensor(x, size, false, null);
}
