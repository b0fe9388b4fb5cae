import { div, flatten, permute, sub, tensor, to, transpose, type Tensor } from '@bantam/torch';
import { BantamError } from '../errors.js';
import type { Preprocess } from './preprocess.js';
import type { ImageTowerConfig } from './tower.js';

/**
 * (x/255 − mean)/std per channel: 8-bit pixels [B, H, W, 3] → float32 [B, 3, H, W] on the same
 * device.
 */
export function normalizePixels(pixels: Tensor, { mean, std }: Preprocess): Tensor {
  const { device } = pixels;
  const perChannel = (values: readonly number[]) =>
    tensor(
      values.map((value) => 255 * value),
      { device },
    );
  const normalized = div(sub(to(pixels, { dtype: 'float32' }), perChannel(mean)), perChannel(std));
  return permute(normalized, [0, 3, 1, 2]);
}

/** @throws BantamError unless the pixels are [B, 3, S, S] with the tower's image size S. */
export function requirePixels({ shape }: Tensor, { imageSize }: ImageTowerConfig): void {
  const [batch, ...rest] = shape;
  if (batch !== undefined && rest.join() === [3, imageSize, imageSize].join()) return;
  throw new BantamError(
    `The model takes pixels [B, 3, ${imageSize}, ${imageSize}], not [${shape.join(', ')}]; prepare pictures with the model's own preprocessing.`,
  );
}

/** The places of a map as a list, row by row: [B, C, H, W] → [B, H·W, C]. */
export function placesOf(map: Tensor): Tensor {
  return transpose(flatten(map, { start: 2 }), 1, 2);
}
