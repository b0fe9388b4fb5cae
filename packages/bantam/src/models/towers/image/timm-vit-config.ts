import * as v from 'valibot';
import { count, flag, fraction, group, oneOf, positive, setting } from '../../../base/schema.js';
import { imageSizeSetting, type ConfigOf } from '../../tower.js';
import type { TimmTowers } from './open-clip-timm.js';
import { projBiasDescription } from './timm.js';

/** Settings of a vision transformer of timm. */
export const timmVitSchema = group({
  type: v.literal('timm-vit'),
  imageSize: imageSizeSetting(224),
  stem: setting(
    oneOf('patches', 'convolutions', 'mbconv'),
    'patches',
    "What makes the tokens: one product for each patch, MobileCLIP-B's three convolutions, or ViTamin's two stages of inverted bottlenecks. The latter two shrink an image by 16.",
  ),
  patchSize: setting(
    count(),
    16,
    'Side length of a square patch in pixels, of the stem `patches`.',
  ),
  stemWidth: setting(count(), 128, 'Channels of the first stage of the stem `mbconv`.'),
  width: setting(count(), 768, "Length of a token's vector."),
  layers: setting(count(), 12, 'Number of blocks.'),
  heads: setting(count(), 12, 'Attention heads.'),
  qkvBias: setting(flag(), true, 'Whether queries, keys and values have biases.'),
  mlp: setting(
    oneOf('gelu', 'geglu'),
    'gelu',
    "A block's MLP: with GELU, or ViTamin's, gated by GELU (Shazeer 2020) after a layer norm of its own.",
  ),
  mlpRatio: setting(positive(), 4, "Hidden units of a block's MLP as a multiple of the width."),
  lsInitValue: setting(
    v.nullable(positive()),
    null,
    'Initial layer scale (Touvron et al. 2021, eq. 2); null: no layer scale.',
  ),
  normEps: setting(positive(), 1e-6, 'Added to the variance in layer norms.'),
  preNorm: setting(flag(), false, 'Layer norm before the first block.'),
  posEmbed: setting(
    oneOf('all', 'patches', 'none'),
    'all',
    'Learned positions of all tokens, of the patches alone, or none.',
  ),
  poolType: setting(
    oneOf('tok', 'avg'),
    'tok',
    "The image's vector: a class token's, or the mean of the patches, without a class token.",
  ),
  finalLnAfterPool: setting(flag(), false, 'Pool before the last layer norm.'),
  dropPath: setting(
    fraction(),
    0,
    "Probability by which training skips the last block's branches (Huang et al. 2016); it rises from 0 at the first.",
  ),
  proj: setting(
    oneOf('linear', 'mlp', 'own'),
    'linear',
    "Projection to the feature: one matrix, a hidden layer of twice its length with GELU, or timm's own classifier, a matrix with a bias.",
  ),
  projBias: setting(flag(), false, projBiasDescription),
});

/** A vision transformer as timm has it (Dosovitskiy et al. 2021). */
export type TimmVitConfig = ConfigOf<typeof timmVitSchema>;

const plain: Partial<TimmVitConfig> = {
  stem: 'patches',
  qkvBias: true,
  mlp: 'gelu',
  mlpRatio: 4,
  lsInitValue: null,
  normEps: 1e-6,
  preNorm: false,
  posEmbed: 'all',
};

const tokenPooled: Partial<TimmVitConfig> = {
  ...plain,
  imageSize: 224,
  poolType: 'tok',
  finalLnAfterPool: false,
  proj: 'own',
};

/** Towers with a class token and timm's own projection. */
const withClassToken: TimmTowers<TimmVitConfig> = {
  models: {
    vit_large_patch14_clip_224: {
      ...tokenPooled,
      ...{ patchSize: 14, width: 1024, layers: 24, heads: 16, normEps: 1e-5, preNorm: true },
    },
    vit_base_mci_224: {
      ...tokenPooled,
      stem: 'convolutions',
      posEmbed: 'patches',
      ...{ width: 768, layers: 12, heads: 12 },
    },
  },
  pools: ['token'],
  projections: ['own'],
  dropPath: 0,
};

function vitamin(members: Partial<TimmVitConfig>): Partial<TimmVitConfig> {
  return {
    ...plain,
    stem: 'mbconv',
    mlp: 'geglu',
    mlpRatio: 2,
    poolType: 'avg',
    finalLnAfterPool: true,
    ...members,
  };
}

function vitamins(): Record<string, Partial<TimmVitConfig>> {
  const large = { stemWidth: 160, width: 1024, layers: 31, heads: 16 };
  const sizes = {
    small: { stemWidth: 64, width: 384, layers: 14, heads: 6 },
    base: { stemWidth: 128, width: 768, layers: 14, heads: 12 },
    large,
    large2: large,
    xlarge: { stemWidth: 192, width: 1152, layers: 32, heads: 16, posEmbed: 'none' },
  } as const;
  return Object.fromEntries(
    Object.entries(sizes).flatMap(([size, members]) =>
      (size === 'xlarge' ? [256, 336, 384] : [224, 256, 336, 384]).map((imageSize) => [
        `vitamin_${size}_${imageSize}`,
        vitamin({ ...members, imageSize }),
      ]),
    ),
  );
}

/** Towers pooled by the mean, projected by OpenCLIP. */
const averaged: TimmTowers<TimmVitConfig> = {
  models: {
    vit_medium_patch16_gap_256: {
      ...plain,
      poolType: 'avg',
      ...{ finalLnAfterPool: false, imageSize: 256 },
      ...{ patchSize: 16, width: 512, layers: 12, heads: 8, qkvBias: false, lsInitValue: 1e-6 },
    },
    ...vitamins(),
  },
  pools: ['', 'avg'],
  dropPath: 0,
  wrongSizes: { vitamin_xlarge_384: 256 },
};

/** The towers that OpenCLIP takes from timm. */
export const timmVitTowers: readonly TimmTowers<TimmVitConfig>[] = [withClassToken, averaged];
