import { convSize } from '../../blocks/convolution.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';

/** The hybrid image tower of MobileCLIP (Vasu et al. 2024, section 3.2), of the family of FastViT. */
export interface MobileClipConfig extends ImageTowerConfig {
  readonly type: 'mobileclip';
  /** Channels of each stage. */
  readonly widths: readonly number[];
  /** Blocks of each stage: RepMixer blocks, in the last stage attention blocks. */
  readonly depths: readonly number[];
  /** Hidden units of a block's MLP as a multiple of its width. */
  readonly mlpRatio: number;
  /**
   * Blocks of the last stage. `mhsa`: MobileCLIP's residual attention blocks; `sas-p`: simplified ones
   * (He and Hofmann 2024), as SiCLIP has them (Liu 2024). Their values are not projected in the
   * first one either, as the model's first layers are convolutions.
   */
  readonly attention: 'mhsa' | 'sas-p';
  /** `sas-p`: the blocks have one attention, that of the first. */
  readonly sharedAttention: boolean;
  /** Width of one attention head. */
  readonly headWidth: number;
  /** First value of the layer scales. */
  readonly layerScale: number;
  /** Probability by which training skips the last block's branches; it rises from 0 at the first. */
  readonly dropPath: number;
  /** Whether the projection has a bias: OpenCLIP's models have one, the paper's have none. */
  readonly projBias: boolean;
  /** Has in place of branches the convolutions that they merge into in evaluation. */
  readonly fused: boolean;
}

/** Kernel of the convolutions between stages and of those in MLPs. */
export const largeKernel = 7;

/** Kernel of the stem, the token mixers and the last convolution. */
export const smallKernel = 3;

/** One stage of a MobileCLIP tower. */
export interface MobileClipStageSizes {
  /** Channels that come in. */
  readonly inWidth: number;
  readonly width: number;
  readonly depth: number;
  /** Hidden units of a block's MLP. */
  readonly hidden: number;
  /** Places along one edge. */
  readonly grid: number;
  /** Whether a convolution of stride 2 stands before the blocks. */
  readonly downsample: boolean;
  /** Hidden units of the squeeze and excitation between stages; null: none. */
  readonly squeeze: number | null;
  readonly attention: boolean;
}

/** Places along one edge of a map that a convolution of stride 2 makes. */
export function halved(grid: number, kernel: number): number {
  return convSize(grid, { kernel, stride: 2, padding: Math.floor(kernel / 2) });
}

/** Sizes of every stage. */
export function mobileClipStages(config: MobileClipConfig): MobileClipStageSizes[] {
  const { imageSize, widths, depths, mlpRatio } = config;
  let grid = halved(halved(imageSize, smallKernel), smallKernel);
  return widths.map((width, stage) => {
    if (stage > 0) grid = halved(grid, largeKernel);
    return {
      inWidth: widths[stage - 1] ?? width,
      width,
      depth: depths[stage] ?? 0,
      hidden: Math.floor(width * mlpRatio),
      grid,
      downsample: stage > 0,
      squeeze: stage >= widths.length - 2 ? quarter(width) : null,
      attention: stage === widths.length - 1,
    };
  });
}

/** A quarter of the width, to the nearest multiple of 8. */
function quarter(width: number): number {
  return Math.max(8, 8 * Math.floor(width / 32 + 0.5));
}

/** Sizes of the convolution after the last stage. */
export function mobileClipEnd({ widths }: MobileClipConfig): {
  inWidth: number;
  /** Length of the pooled vector. */
  width: number;
  /** Hidden units of its squeeze and excitation. */
  squeeze: number;
} {
  const inWidth = widths.at(-1) ?? 0;
  const width = 2 * inWidth;
  return { inWidth, width, squeeze: Math.max(1, Math.floor(width / 16 + 0.5)) };
}

/** What pictures the tower reads: of any size. */
export const mobileClipPictures: PictureRules<MobileClipConfig> = {
  checkImageSize: () => undefined,
};
