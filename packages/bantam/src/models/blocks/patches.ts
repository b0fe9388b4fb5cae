import {
  Conv2d,
  dims,
  expand,
  gather,
  linear,
  linearPacked,
  narrow,
  PackedWeight,
  packLinear,
  packWeight,
  permute,
  randn,
  reshape,
  topk,
  unsqueeze,
  type FloatDType,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Prepackable } from './prepackable.js';

/** Whole patches along one side of the image: G = ⌊S/P⌋. */
export function gridSize({
  imageSize,
  patchSize,
}: {
  readonly imageSize: number;
  readonly patchSize: number;
}): number {
  return Math.floor(imageSize / patchSize);
}

/**
 * The convolution whose stride is its kernel, as one matrix product over the patches, whose gradient
 * is several times cheaper: [B, 3, S, S] → [B, G², W] with G of {@link gridSize}, row by row. Pixels beyond the
 * last whole patch are left out, as a convolution does.
 */
export function embedPatches(pixels: Tensor, { weight, bias }: Conv2d, patchSize: number): Tensor {
  const [batch, , size] = dims(pixels, 4);
  const width = weight.dim(0);
  const grid = gridSize({ imageSize: size, patchSize });
  const side = grid * patchSize;
  const whole = side === size ? pixels : narrow(narrow(pixels, 2, 0, side), 3, 0, side);
  const cut = reshape(whole, [batch, 3, grid, patchSize, grid, patchSize]);
  const rows = reshape(permute(cut, [0, 2, 4, 1, 3, 5]), [batch, grid ** 2, 3 * patchSize ** 2]);
  return linear(rows, reshape(weight, [width, 3 * patchSize ** 2]), bias);
}

/** Number of `count` patches that remain after patch dropout; at least one. */
export function keptPatches(count: number, patchDropout: number): number {
  return patchDropout === 0 ? count : Math.max(1, Math.floor(count * (1 - patchDropout)));
}

/**
 * A random subset of each image's patches (FLIP, Li et al. 2023, section 3): [B, L, W] → [B, kept, W].
 *
 * @throws BantamError if there is no generator to sample from.
 */
export function dropPatches(
  patches: Tensor,
  { fraction, generator }: { fraction: number; generator: Generator | undefined },
): Tensor {
  if (fraction === 0) return patches;
  if (generator === undefined) {
    throw new BantamError('Patch dropout needs a random stream; pass a generator to encodeImage.');
  }
  const [batch, count, width] = dims(patches, 3);
  const kept = keptPatches(count, fraction);
  const { indices } = topk(randn([batch, count], generator, { device: patches.device }), kept);
  return gather(patches, 1, expand(unsqueeze(indices, -1), [batch, kept, width]));
}

/** Options of {@link PatchConv}. */
export interface PatchConvOptions {
  inChannels: number;
  outChannels: number;
  /** Side length of the square patches. */
  size: number;
  /** Default true. */
  bias?: boolean;
}

/**
 * A convolution whose stride is its kernel, on maps with the channels last: each patch times one
 * matrix. Weight and result are those of {@link Conv2d}; the gradient of a convolution takes several
 * times as long on CPUs. A rest at the right and lower side is cut off. Weights are zero until
 * initialised.
 */
export class PatchConv extends Conv2d implements Prepackable {
  constructor({ inChannels, outChannels, size, bias = true }: PatchConvOptions) {
    super({ inChannels, outChannels, kernel: size, stride: size, bias, generator: null });
  }

  /** [B, H, W, in] → [B, ⌊H/size⌋, ⌊W/size⌋, out] */
  override forward(x: Tensor): Tensor {
    const [batch, height, width] = dims(x, 4);
    const { weight, bias } = this;
    const [, inChannels, size] = dims(weight, 4);
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

  prepack(dtype: FloatDType): void {
    this.weight = packWeight(this.weight, dtype, (weight) => packLinear(patchMatrix(weight)));
  }
}

/** The weight [out, in, size, size] as a matrix [out, size²·in] of whole patches. */
function patchMatrix(weight: Tensor): Tensor {
  return reshape(permute(weight, [0, 2, 3, 1]), [weight.dim(0), -1]);
}
