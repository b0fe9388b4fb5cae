import { refuseOtherSizes } from './pixels.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';
import type { TimmHeadConfig } from './timm.js';

/** An MLP-Mixer (Tolstikhin et al. 2021). */
export interface MixerConfig extends ImageTowerConfig, TimmHeadConfig {
  readonly type: 'mixer';
  /** Edge of a square patch in pixels. */
  readonly patchSize: number;
  /** Length of a patch's vector. */
  readonly width: number;
  readonly layers: number;
  /** Hidden units of the MLP across patches as a multiple of the width. */
  readonly tokenMlpRatio: number;
  /** Hidden units of the MLP across channels as a multiple of the width. */
  readonly channelMlpRatio: number;
  /** Probability by which training skips each branch of each block. */
  readonly dropPath: number;
}

/** Lengths inside of a Mixer. */
export interface MixerSizes {
  readonly patches: number;
  /** Hidden units of the MLP across patches. */
  readonly tokenHidden: number;
  /** Hidden units of the MLP across channels. */
  readonly channelHidden: number;
}

/** The lengths that follow from a configuration. */
export function mixerSizes(config: MixerConfig): MixerSizes {
  const { imageSize, patchSize, width, tokenMlpRatio, channelMlpRatio } = config;
  return {
    patches: (imageSize / patchSize) ** 2,
    tokenHidden: Math.floor(width * tokenMlpRatio),
    channelHidden: Math.floor(width * channelMlpRatio),
  };
}

/** What pictures the tower reads: the MLPs across patches have a weight for each patch. */
export const mixerPictures: PictureRules<MixerConfig> = { checkImageSize: refuseOtherSizes };
