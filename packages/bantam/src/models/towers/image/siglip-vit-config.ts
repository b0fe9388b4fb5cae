import type { plainBlocks, TransformerConfig } from '../../blocks/transformer-config.js';
import { BantamError } from '../../../base/errors.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';
import type { TimmHeadConfig } from './timm.js';

/** SigLIP's image tower: a vision transformer pooled by attention (Zhai et al. 2023). */
export interface SiglipVitConfig
  extends ImageTowerConfig, TimmHeadConfig, Omit<TransformerConfig, keyof typeof plainBlocks> {
  readonly type: 'siglip-vit';
  /** Edge of a square patch in pixels; what is left of the picture beyond whole patches is not seen. */
  readonly patchSize: number;
  /** Attention heads, of the pooling too. */
  readonly heads: number;
}

/** Patches along one edge of the picture. */
export function siglipGrid({
  imageSize,
  patchSize,
}: Pick<SiglipVitConfig, 'imageSize' | 'patchSize'>): number {
  return Math.floor(imageSize / patchSize);
}

/** What pictures the tower reads. */
export const siglipPictures: PictureRules<SiglipVitConfig> = {
  leavesPatchesOut: true,
  checkImageSize({ patchSize }, imageSize) {
    if (siglipGrid({ imageSize, patchSize }) >= 1) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) has no room for a patch of ${patchSize} pixels.`,
    );
  },
};
