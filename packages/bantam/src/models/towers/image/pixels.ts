import { flatten, transpose, type Tensor } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import type { ImageEncodeOptions, ImageRules, ImageTowerConfig } from '../../tower.js';

/** Arguments of {@link requirePixels}. */
export interface PixelRequirements<Config extends ImageTowerConfig> {
  config: Config;
  rules: ImageRules<Config>;
  options: ImageEncodeOptions;
}

/**
 * The size S of pixels [B, 3, S, S]: the configuration's, or that of the options.
 *
 * @throws BantamError if the pixels have another shape, or the tower lacks what the options need.
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
    `The model takes pixels [B, 3, ${imageSize}, ${imageSize}], not [${shape.join(', ')}]; prepare images with the model's own preprocessing.`,
  );
}

/** @throws BantamError if a tower cannot drop that fraction of its patches. */
export function checkPatchDropout<Config extends ImageTowerConfig>(
  patchDropout: number | undefined,
  { type }: Config,
  { dropsPatches }: Pick<ImageRules<Config>, 'dropsPatches'>,
): void {
  if (patchDropout === undefined || patchDropout === 0) return;
  if (dropsPatches !== true) {
    throw new BantamError(
      `A tower of the type "${type}" cannot drop patches; take a ViT, or set the patch dropout to 0.`,
    );
  }
  if (patchDropout > 0 && patchDropout < 1) return;
  throw new BantamError(
    `The patch dropout is ${patchDropout}; it must be a fraction of at least 0 and below 1.`,
  );
}

/** {@link ImageRules.checkImageSize} of towers whose weights fit one size only. */
export function refuseOtherSizes(config: ImageTowerConfig, imageSize: number): void {
  if (imageSize === config.imageSize) return;
  throw new BantamError(
    `A tower of the type "${config.type}" takes images of its own size only, ${config.imageSize} pixels, not ${imageSize}; take a tower of another type.`,
  );
}

/** The locations of a feature map as tokens, row by row: [B, C, H, W] → [B, H·W, C]. */
export function tokensOf(map: Tensor): Tensor {
  return transpose(flatten(map, { start: 2 }), 1, 2);
}
