import { at } from '@bantam/torch';
import * as v from 'valibot';
import {
  count,
  flag,
  fraction,
  group,
  oneOf,
  positive,
  setting,
  tupleOf,
} from '../../../base/schema.js';
import { convSize } from '../../blocks/convolution.js';
import { imageSizeSetting, type ConfigOf } from '../../tower.js';

/** Settings of MobileCLIP's hybrid image tower. */
export const mobileClipSchema = group({
  type: v.literal('mobileclip'),
  imageSize: imageSizeSetting(256),
  widths: setting(
    tupleOf(count(), 4, 5),
    [64, 128, 256, 512],
    "Channels of each stage. Five stages are those of MobileCLIP2's larger models: attention in the last two, after layer norms, and no squeeze and excitation between stages.",
  ),
  depths: setting(
    tupleOf(count(), 4, 5),
    [2, 6, 10, 2],
    'Blocks of each stage: RepMixer blocks in the first three, then attention blocks.',
  ),
  mlpRatio: setting(positive(), 3, "Hidden units of a block's MLP as a multiple of its width."),
  attention: setting(
    oneOf('mhsa', 'sas-p'),
    'mhsa',
    "Blocks of the last stage: MobileCLIP's residual attention blocks, or simplified ones (He and Hofmann 2024) as in SiCLIP (Liu 2024), whose values are nowhere projected.",
  ),
  sharedAttention: setting(
    flag(),
    false,
    'With `sas-p`: all blocks share the attention of the first.',
  ),
  headWidth: setting(count(), 32, 'Width of one attention head.'),
  layerScale: setting(positive(), 1e-5, 'Initial value of the layer scales.'),
  dropPath: setting(
    fraction(),
    0,
    "Probability by which training skips the last block's branches (Huang et al. 2016); it rises from 0 at the first.",
  ),
  projBias: setting(
    flag(),
    true,
    "Whether the projection has a bias: OpenCLIP's models have one, the paper's have none.",
  ),
  fused: setting(flag(), false, 'Has the merged convolutions of evaluation in place of branches.'),
});

/**
 * The hybrid image tower of MobileCLIP (Vasu et al. 2024, section 3.2) and MobileCLIP2 (Faghri et al.
 * 2025), of the family of FastViT.
 */
export type MobileClipConfig = ConfigOf<typeof mobileClipSchema>;

/** Kernel of the convolutions between stages and of those in MLPs. */
export const largeKernel = 7;

/** Kernel of the stem, the token mixers and the last convolution. */
export const smallKernel = 3;

/** Stages of convolutions alone, before those with attention. */
const CONVOLUTIONAL_STAGES = 3;

/** True for the five stages of MobileCLIP2's larger models. */
export function hasFiveStages({ widths }: MobileClipConfig): boolean {
  return widths.length === 5;
}

/** One stage of a MobileCLIP tower. */
export interface MobileClipStageSizes {
  /** Channels that come in. */
  readonly inWidth: number;
  readonly width: number;
  readonly depth: number;
  /** Hidden units of a block's MLP. */
  readonly hidden: number;
  /** Positions along one side. */
  readonly grid: number;
  /** A convolution of stride 2 precedes the blocks. */
  readonly downsample: boolean;
  /** Hidden units of the squeeze and excitation between stages; null: none. */
  readonly squeeze: number | null;
  readonly attention: boolean;
}

/** Positions along one side of a map that a convolution of stride 2 makes. */
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
      depth: at(depths, stage),
      hidden: Math.floor(width * mlpRatio),
      grid,
      downsample: stage > 0,
      squeeze: stage >= 2 && !hasFiveStages(config) ? quarter(width) : null,
      attention: stage >= CONVOLUTIONAL_STAGES,
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
  const inWidth = at(widths, -1);
  const width = 2 * inWidth;
  return { inWidth, width, squeeze: Math.max(1, Math.floor(width / 16 + 0.5)) };
}
