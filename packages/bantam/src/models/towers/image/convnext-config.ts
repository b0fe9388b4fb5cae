import { BantamError } from '../../../base/errors.js';
import { convSize } from '../../blocks/layer-flops.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';
import type { TimmHeadConfig } from './timm.js';

/** A ConvNeXt (Liu et al. 2022). */
export interface ConvNextConfig extends ImageTowerConfig, TimmHeadConfig {
  readonly type: 'convnext';
  /** Edge of the square patches that the first layer makes one place of. */
  readonly patchSize: number;
  /** Channels of the first stage; they double from stage to stage. */
  readonly width: number;
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Added to the variance in layer norms. */
  readonly normEps: number;
  /** Probability by which training skips the last block's branch; it rises from 0 at the first. */
  readonly dropPath: number;
}

/** Edge of the depthwise convolutions' kernel. */
export const depthwiseKernel = 7;

/** Hidden units of a block's MLP as a multiple of its width. */
export const mlpRatio = 4;

/** One stage of a ConvNeXt. */
export interface ConvNextStageSizes {
  readonly width: number;
  readonly depth: number;
  /** Places along one edge. */
  readonly grid: number;
}

/** Sizes of every stage. */
export function convNextStages({
  imageSize,
  patchSize,
  width,
  depths,
}: ConvNextConfig): ConvNextStageSizes[] {
  let grid = convSize(imageSize, { kernel: patchSize, stride: patchSize });
  return depths.map((depth, stage) => {
    if (stage > 0) grid = convSize(grid, { kernel: 2, stride: 2 });
    return { width: width * 2 ** stage, depth, grid };
  });
}

/** Channels of the last stage. */
export function convNextWidth({ width, depths }: ConvNextConfig): number {
  return width * 2 ** (depths.length - 1);
}

/** What pictures the tower reads. */
export const convNextPictures: PictureRules<ConvNextConfig> = {
  checkImageSize({ patchSize, depths }, imageSize) {
    const least = patchSize * 2 ** (depths.length - 1);
    if (imageSize >= least) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) leaves nothing of the last stage's map; with "patchSize" ${patchSize} it must be at least ${least}.`,
    );
  },
};
