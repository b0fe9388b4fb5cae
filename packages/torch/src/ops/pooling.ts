/** Operators that join neighbouring places of a map. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { sides, type PerSide } from './neural.js';

const avgPoolOp = new Operator('aten::avg_pool2d');
const maxPoolOp = new Operator('aten::max_pool2d');

/** Options of {@link avgPool2d} and {@link maxPool2d}; a pair is (vertical, horizontal). */
export interface PoolOptions {
  kernel: PerSide;
  /** Default: the kernel. */
  stride?: PerSide;
  /** Places around the input, which count as 0 for a mean and are never the largest. Default 0. */
  padding?: PerSide;
}

/** The mean of each kernel's places: [N, C, H, W] → [N, C, H′, W′] */
export function avgPool2d(
  x: Tensor,
  { kernel, stride = kernel, padding = 0 }: PoolOptions,
): Tensor {
  return avgPoolOp.tensor(x, sides(kernel), sides(stride), sides(padding));
}

/** The largest of each kernel's places: [N, C, H, W] → [N, C, H′, W′] */
export function maxPool2d(
  x: Tensor,
  { kernel, stride = kernel, padding = 0 }: PoolOptions,
): Tensor {
  return maxPoolOp.tensor(x, sides(kernel), sides(stride), sides(padding));
}
