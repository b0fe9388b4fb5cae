import { BantamError } from '../../../base/errors.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';

/** OpenAI's residual network with attention pooling (Radford et al. 2021, section 2.4). */
export interface ModifiedResNetConfig extends ImageTowerConfig {
  readonly type: 'modified-resnet';
  /** Channels of the first stage's inner convolutions; they double from stage to stage. */
  readonly width: number;
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Width of one head of the attention that pools. */
  readonly headWidth: number;
}

/** Factor by which the tower's last map is smaller than the picture. */
export const SHRINK = 32;

/** Channels of the last map. */
export function mapWidth({ width }: ModifiedResNetConfig): number {
  return 32 * width;
}

/** What pictures the tower reads. */
export const modifiedResNetPictures: PictureRules<ModifiedResNetConfig> = {
  checkImageSize(_, imageSize) {
    if (imageSize % SHRINK === 0) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) must be a multiple of ${SHRINK}, by which the tower shrinks pictures.`,
    );
  },
};
