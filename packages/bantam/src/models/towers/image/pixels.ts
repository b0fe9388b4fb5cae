import { flatten, Operator, tensor, transpose, type Tensor } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import type { Preprocess } from '../../preprocess.js';
import type { ImageEncodeOptions, ImageTowerConfig, PictureRules } from '../../tower.js';

const normalizePixelsOp = new Operator('bantam::normalize_pixels');

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
  return normalizePixelsOp.tensor(pixels, perChannel(mean), perChannel(std));
}

/** What {@link requirePixels} holds pixels against. */
export interface PixelRequirements<Config extends ImageTowerConfig> {
  config: Config;
  rules: PictureRules<Config>;
  options: ImageEncodeOptions;
}

/**
 * The size S of pixels [B, 3, S, S]: the configuration's, or the one that the options ask for.
 *
 * @throws BantamError where the pixels have another shape, or the tower cannot do what the options ask
 * for.
 */
export function requirePixels<Config extends ImageTowerConfig>(
  { shape }: Tensor,
  { config, rules, options }: PixelRequirements<Config>,
): number {
  const { imageSize = config.imageSize, patchDropout } = options;
  checkPatchDropout(patchDropout, config, rules);
  if (imageSize !== config.imageSize) rules.checkImageSize(config, imageSize);
  const [batch, ...rest] = shape;
  if (batch !== undefined && rest.join() === [3, imageSize, imageSize].join()) return imageSize;
  throw new BantamError(
    `The model takes pixels [B, 3, ${imageSize}, ${imageSize}], not [${shape.join(', ')}]; prepare pictures with the model's own preprocessing.`,
  );
}

/** @throws BantamError where a tower cannot leave out that share of its patches. */
export function checkPatchDropout<Config extends ImageTowerConfig>(
  patchDropout: number | undefined,
  { type }: Config,
  { leavesPatchesOut }: Pick<PictureRules<Config>, 'leavesPatchesOut'>,
): void {
  if (patchDropout === undefined || patchDropout === 0) return;
  if (leavesPatchesOut !== true) {
    throw new BantamError(
      `A tower of the type "${type}" cannot leave patches out; take a ViT, or set the patch dropout to 0.`,
    );
  }
  if (patchDropout > 0 && patchDropout < 1) return;
  throw new BantamError(
    `The patch dropout is ${patchDropout}; it must be a share from 0 up to, but not, 1.`,
  );
}

/** For towers whose weights are of one size: {@link PictureRules.checkImageSize}. */
export function refuseOtherSizes(config: ImageTowerConfig, imageSize: number): void {
  if (imageSize === config.imageSize) return;
  throw new BantamError(
    `A tower of the type "${config.type}" takes pictures of the size that it was made for only, ${config.imageSize} pixels, not ${imageSize}; take a tower of another type.`,
  );
}

/** The places of a map as a list, row by row: [B, C, H, W] → [B, H·W, C]. */
export function placesOf(map: Tensor): Tensor {
  return transpose(flatten(map, { start: 2 }), 1, 2);
}
