import { refuseOtherSizes } from './pixels.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';
import type { TimmHeadConfig } from './timm.js';

/** A Swin transformer (Liu et al. 2021). */
export interface SwinConfig extends ImageTowerConfig, TimmHeadConfig {
  readonly type: 'swin';
  /** Edge of a square patch in pixels. */
  readonly patchSize: number;
  /** Length of a token's vector in the first stage; it doubles from stage to stage. */
  readonly width: number;
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Attention heads of each stage. */
  readonly heads: readonly number[];
  /** Edge of the square windows that attention stays within, in tokens. */
  readonly windowSize: number;
  /** Hidden units of a block's MLP as a multiple of its width. */
  readonly mlpRatio: number;
  /** Probability by which training skips the last block's branches; it rises from 0 at the first. */
  readonly dropPath: number;
}

/** One stage of a Swin transformer. */
export interface SwinStageSizes {
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Tokens along one edge. */
  readonly grid: number;
  /** Edge of the windows: the whole grid where that is not larger. */
  readonly window: number;
  /** Tokens by which every second block moves its windows. */
  readonly shift: number;
}

/** Sizes of every stage. */
export function swinStages(config: SwinConfig): SwinStageSizes[] {
  let grid = config.imageSize / config.patchSize;
  return config.depths.map((depth, stage) => {
    if (stage > 0) grid = Math.ceil(grid / 2);
    const whole = grid <= config.windowSize;
    return {
      width: config.width * 2 ** stage,
      depth,
      heads: config.heads[stage] ?? 1,
      grid,
      window: whole ? grid : config.windowSize,
      shift: whole ? 0 : Math.floor(config.windowSize / 2),
    };
  });
}

/** Length of the last stage's vectors. */
export function swinWidth({ width, depths }: SwinConfig): number {
  return width * 2 ** (depths.length - 1);
}

/** Windows along one edge; the last is filled up with zeros. */
export function windowsPerEdge({ grid, window }: SwinStageSizes): number {
  return Math.ceil(grid / window);
}

/**
 * What pictures the tower reads: in the last stages the windows are the whole map, and tables of
 * relative positions of its size.
 */
export const swinPictures: PictureRules<SwinConfig> = { checkImageSize: refuseOtherSizes };
