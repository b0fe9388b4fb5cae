import {
  Conv2d,
  linear,
  linearPacked,
  narrow,
  packLinear,
  PackedWeight,
  packWeight,
  permute,
  reshape,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import type { Packable } from '../inference/inference.js';

/** Options of {@link PatchConv}. */
export interface PatchConvOptions {
  inChannels: number;
  outChannels: number;
  /** Edge of the square patches. */
  size: number;
}

/**
 * A convolution whose stride is its kernel, on maps with the channels last: each patch times one
 * matrix. Weight and result are those of {@link Conv2d}; the gradient of a convolution takes several
 * times as long on CPUs. What is left over at the right and lower edge is not seen. The weights are
 * zero at first.
 */
export class PatchConv extends Conv2d implements Packable {
  constructor({ inChannels, outChannels, size }: PatchConvOptions) {
    super({ inChannels, outChannels, kernel: size, stride: size, generator: null });
  }

  /** [B, H, W, in] → [B, ⌊H/size⌋, ⌊W/size⌋, out] */
  override forward(x: Tensor): Tensor {
    const [batch, height, width] = x.shape as [number, number, number];
    const { weight, bias } = this;
    const [, inChannels, size] = weight.shape as [number, number, number];
    const rows = Math.floor(height / size);
    const columns = Math.floor(width / size);
    const whole = narrow(narrow(x, 1, 0, rows * size), 2, 0, columns * size);
    const cut = reshape(whole, [batch, rows, size, columns, size, inChannels]);
    const length = size ** 2 * inChannels;
    const patches = reshape(permute(cut, [0, 1, 3, 2, 4, 5]), [batch, rows, columns, length]);
    return weight instanceof PackedWeight
      ? linearPacked(patches, { weight: weight.packed, bias })
      : linear(patches, patchMatrix(weight), bias);
  }

  pack(dtype: FloatDType): void {
    this.weight = packWeight(this.weight, dtype, (weight) => packLinear(patchMatrix(weight)));
  }
}

/** The weight [out, in, size, size] as a matrix [out, size²·in] of whole patches. */
function patchMatrix(weight: Tensor): Tensor {
  return reshape(permute(weight, [0, 2, 3, 1]), [weight.dim(0), -1]);
}
