import {
  expand,
  gather,
  linear,
  narrow,
  permute,
  randn,
  reshape,
  topk,
  unsqueeze,
  type Conv2d,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';

/**
 * The convolution whose stride is its kernel, as one matrix product over the patches, whose gradient
 * is several times cheaper: [B, 3, S, S] → [B, G², W] with G = ⌊S/P⌋, row by row. Pixels beyond the
 * last whole patch are left out, as a convolution does.
 */
export function embedPatches(pixels: Tensor, { weight, bias }: Conv2d, patchSize: number): Tensor {
  const [batch, , size] = pixels.shape as [number, number, number, number];
  const [width] = weight.shape as [number];
  const grid = Math.floor(size / patchSize);
  const edge = grid * patchSize;
  const whole = edge === size ? pixels : narrow(narrow(pixels, 2, 0, edge), 3, 0, edge);
  const cut = reshape(whole, [batch, 3, grid, patchSize, grid, patchSize]);
  const rows = reshape(permute(cut, [0, 2, 4, 1, 3, 5]), [batch, grid ** 2, 3 * patchSize ** 2]);
  return linear(rows, reshape(weight, [width, 3 * patchSize ** 2]), bias);
}

/** Patches of `count` that a training step computes when it leaves a share of them out; at least one. */
export function keptPatches(count: number, patchDropout: number): number {
  return patchDropout === 0 ? count : Math.max(1, Math.floor(count * (1 - patchDropout)));
}

/**
 * A random subset of each picture's patches (FLIP, Li et al. 2023, section 3): [B, L, W] → [B, kept, W].
 *
 * @throws BantamError where there is nothing to draw from.
 */
export function dropPatches(
  patches: Tensor,
  { share, generator }: { share: number; generator: Generator | undefined },
): Tensor {
  if (share === 0) return patches;
  if (generator === undefined) {
    throw new BantamError('Patch dropout needs a random stream; pass a generator to encodeImage.');
  }
  const [batch, count, width] = patches.shape as [number, number, number];
  const kept = keptPatches(count, share);
  const { indices } = topk(randn([batch, count], generator, { device: patches.device }), kept);
  return gather(patches, 1, expand(unsqueeze(indices, -1), [batch, kept, width]));
}
