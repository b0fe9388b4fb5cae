import type { ImageTowerConfig, PictureRules } from '../../tower.js';
import type { TimmHeadConfig } from './timm.js';

/** A residual network of bottlenecks with global average pooling (He et al. 2016). */
export interface ResNetConfig extends ImageTowerConfig, TimmHeadConfig {
  readonly type: 'resnet';
  /** Channels of the first stage's inner convolutions; they double from stage to stage. */
  readonly width: number;
  /** Blocks of each stage. */
  readonly depths: readonly number[];
}

/** What pictures the tower reads: of any size. */
export const resNetPictures: PictureRules<ResNetConfig> = { checkImageSize: () => undefined };
