import { linear, narrow, permute, reshape, type Conv2d, type Tensor } from '@bantam/torch';

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
