import { div, permute, sub, tensor, to, type Tensor } from '@bantam/torch';
import type { Preprocess } from './preprocess.js';

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
