import * as v from 'valibot';
import { atLeast, count, flag, group, oneOf, positive, setting } from '../../../base/schema.js';
import { imageSizeSetting, type ConfigOf } from '../../tower.js';
import type { TimmTowers } from './open-clip-timm.js';

/** Settings of the rotary positions. */
const rotarySchema = group({
  grid: setting(
    count(),
    16,
    'Patches along one side of the images that the angles are made for; those of other images are scaled to it.',
  ),
  offset: setting(atLeast(0), 0, 'Added to the index of a row or column.'),
  order: setting(
    oneOf('yx', 'xy'),
    'yx',
    'The axis by which the first half of a head turns, and the other.',
  ),
});

/** Settings of EVA's image tower. */
export const evaSchema = group({
  type: v.literal('eva'),
  imageSize: imageSizeSetting(224),
  patchSize: setting(count(), 16, 'Side length of a square patch in pixels.'),
  width: setting(count(), 768, "Length of a token's vector."),
  layers: setting(count(), 12, 'Number of blocks.'),
  heads: setting(count(), 12, 'Attention heads.'),
  mlpRatio: setting(positive(), 4, "Hidden units of a block's MLP as a multiple of the width."),
  normEps: setting(positive(), 1e-6, 'Added to the variance in layer norms.'),
  block: setting(
    oneOf('pre-norm', 'post-norm', 'sub-norm'),
    'pre-norm',
    "Layer norms before attention and MLP (EVA, Perception Encoder), after them (EVA-02's largest), or before them and before their last products, with SwiGLU (EVA-02).",
  ),
  keyBias: setting(flag(), false, 'Keys have a bias, as queries and values do.'),
  rotary: setting(
    v.nullable(rotarySchema),
    null,
    'Rotary positions beside the learned ones (Su et al. 2021); null: none.',
  ),
  preNorm: setting(
    flag(),
    false,
    'Layer norm before the first block; the embedding of patches then has no bias.',
  ),
  classToken: setting(flag(), true, 'A class token before the patches.'),
  poolType: setting(
    oneOf('tok', 'map'),
    'tok',
    "The image's vector: the class token's, or attention by a learned query.",
  ),
  poolHeads: setting(count(), 8, 'Heads of the attention that pools.'),
  poolMlpRatio: setting(positive(), 4, 'Hidden units of its MLP as a multiple of the width.'),
});

/**
 * The image tower of EVA-CLIP (Sun et al. 2023; Fang et al. 2023, "EVA-02") and of the Perception
 * Encoder (Bolya et al. 2025).
 */
export type EvaConfig = ConfigOf<typeof evaSchema>;

const common: Partial<EvaConfig> = {
  mlpRatio: 4,
  normEps: 1e-6,
  block: 'pre-norm',
  keyBias: false,
  rotary: null,
  preNorm: false,
  classToken: true,
  poolType: 'tok',
};

const eva02: Partial<EvaConfig> = {
  ...common,
  mlpRatio: (4 * 2) / 3,
  block: 'sub-norm',
  rotary: { grid: 16, offset: 0, order: 'yx' },
};

const giant = { width: 1408, layers: 40, heads: 16, patchSize: 14, mlpRatio: 6144 / 1408 };
const large = { width: 1024, layers: 24, heads: 16, patchSize: 14 };

/** EVA-CLIP's image towers by timm's names. */
const evaClip: TimmTowers<EvaConfig> = {
  models: {
    eva_giant_patch14_224: { ...common, ...giant, imageSize: 224 },
    eva_giant_patch14_clip_224: { ...common, ...giant, imageSize: 224 },
    eva02_base_patch16_clip_224: {
      ...{ ...eva02, imageSize: 224, patchSize: 16 },
      ...{ width: 768, layers: 12, heads: 12 },
    },
    eva02_large_patch14_clip_224: { ...eva02, ...large, imageSize: 224 },
    eva02_large_patch14_clip_336: { ...eva02, ...large, imageSize: 336 },
    eva02_enormous_patch14_clip_224: {
      ...common,
      block: 'post-norm',
      ...{ imageSize: 224, patchSize: 14 },
      ...{ width: 1792, layers: 64, heads: 16, mlpRatio: 15360 / 1792 },
    },
  },
  pools: ['token'],
  ownHead: true,
};

/** A tower of the Perception Encoder; the largest has no class token. */
function perception(
  [imageSize, patchSize]: readonly [number, number],
  { classToken = true, ...sizes }: Partial<EvaConfig>,
): Partial<EvaConfig> {
  const grid = imageSize / patchSize;
  return {
    ...common,
    ...{ normEps: 1e-5, keyBias: true, preNorm: true, poolHeads: 8, poolMlpRatio: 4 },
    poolType: 'map',
    ...{ imageSize, patchSize, classToken },
    rotary: { grid, offset: classToken ? 1 : 0, order: 'xy' },
    ...sizes,
  };
}

/** The Perception Encoder's image towers by timm's names. */
const perceptionEncoders: TimmTowers<EvaConfig> = {
  models: {
    vit_pe_core_tiny_patch16_384: perception([384, 16], { width: 192, layers: 12, heads: 3 }),
    vit_pe_core_small_patch16_384: perception([384, 16], { width: 384, layers: 12, heads: 6 }),
    vit_pe_core_base_patch16_224: perception([224, 16], { width: 768, layers: 12, heads: 12 }),
    vit_pe_core_large_patch14_336: perception([336, 14], { width: 1024, layers: 24, heads: 16 }),
    vit_pe_core_gigantic_patch14_448: perception([448, 14], {
      ...{ width: 1536, layers: 50, heads: 16, mlpRatio: 8960 / 1536 },
      classToken: false,
    }),
  },
  pools: ['map'],
  ownHead: true,
};

/** The towers that OpenCLIP takes from timm. */
export const evaTowers: readonly TimmTowers<EvaConfig>[] = [evaClip, perceptionEncoders];
