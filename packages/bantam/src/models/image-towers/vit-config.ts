import type { TransformerConfig } from '../blocks/transformer-config.js';
import type { ImageTowerConfig } from '../tower.js';

/** A vision transformer (Dosovitskiy et al. 2021) as CLIP has it (Radford et al. 2021). */
export interface VitConfig extends ImageTowerConfig, TransformerConfig {
  readonly type: 'vit';
  /** Edge of a square patch in pixels. */
  readonly patchSize: number;
  /** Width of one attention head. */
  readonly headWidth: number;
  /** Share of the patches that each training image leaves out (FLIP, Li et al. 2023). */
  readonly patchDropout: number;
  /** Leave out the layer norm before the first block. */
  readonly noLnPre: boolean;
  /** The picture's vector: the class token, or the mean of the patches. */
  readonly poolType: 'tok' | 'avg';
  /** Pool first, then apply the last layer norm. */
  readonly finalLnAfterPool: boolean;
}

/** Patches along one edge of the picture. */
export function gridSize({ imageSize, patchSize }: VitConfig): number {
  return imageSize / patchSize;
}

/** Attention heads of the image tower. */
export function visionHeads({ width, headWidth }: VitConfig): number {
  return width / headWidth;
}

/** Patches that a training step computes. */
export function keptPatches(patches: number, { patchDropout }: VitConfig): number {
  return patchDropout === 0 ? patches : Math.max(1, Math.floor(patches * (1 - patchDropout)));
}
