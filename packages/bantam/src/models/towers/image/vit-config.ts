import type { TransformerConfig } from '../../blocks/transformer-config.js';
import type { AttentionalPoolerSizes } from '../../blocks/attentional-pooler.js';
import { requireMultiple } from '../check-sizes.js';
import type { ImageTowerConfig, PictureRules } from '../../tower.js';

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
  /** Positions that are learned, or fixed ones of sines and cosines. */
  readonly posEmbedType: 'learnable' | 'sin_cos_2d';
  /** The picture's vector: the class token, or the mean of the patches. */
  readonly poolType: 'tok' | 'avg';
  /** Pool first, then apply the last layer norm; without effect under attentional pooling. */
  readonly finalLnAfterPool: boolean;
  /**
   * Pool by learned queries that attend to all tokens (CoCa, Yu et al. 2022): `true` has one set of
   * queries, of which {@link poolType} makes the picture's vector; `parallel` and `cascade` have a
   * query of its own for the vector, on the tokens or on the first set's output.
   */
  readonly attentionalPool: boolean | 'parallel' | 'cascade';
  /** Number of queries of attentional pooling. */
  readonly attnPoolerQueries: number;
  /** Attention heads of attentional pooling. */
  readonly attnPoolerHeads: number;
}

/** Patches along one edge of the picture. */
export function gridSize({ imageSize, patchSize }: VitConfig): number {
  return imageSize / patchSize;
}

/** Attention heads of the image tower. */
export function visionHeads({ width, headWidth }: VitConfig): number {
  return width / headWidth;
}

/** What pictures the tower reads. */
export const vitPictures: PictureRules<VitConfig> = {
  leavesPatchesOut: true,
  checkImageSize(config, imageSize) {
    requireMultiple({ ...config, imageSize }, 'imageSize', 'patchSize', 'vision');
  },
};

/** The poolers of attentional pooling: the one of many queries, and that of the feature alone. */
export function poolers(
  { width, attentionalPool, attnPoolerQueries, attnPoolerHeads }: VitConfig,
  embedDim: number,
): AttentionalPoolerSizes[] {
  if (attentionalPool === false) return [];
  const sizes = { width: embedDim, contextWidth: width, heads: attnPoolerHeads };
  const many = { ...sizes, queries: attnPoolerQueries };
  return attentionalPool === true ? [many] : [many, { ...sizes, queries: 1 }];
}
