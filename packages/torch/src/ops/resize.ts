/** Pictures and sequences in other sizes. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const bicubicOp = new Operator('aten::_upsample_bicubic2d_aa');
const linearOp = new Operator('aten::upsample_linear1d');

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
