import { BantamError } from '../../../base/errors.js';
import { attendFlops } from '../../blocks/attention.js';
import { keptPatches } from '../../blocks/patches.js';
import {
  checkTransformer,
  mlpWidth,
  plainBlocks,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { requireMultiple } from '../check-sizes.js';
import { count, flag, oneOf, positive } from '../../../base/fields.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { channelStatistics } from '../../preprocess.js';
import type { ImageTowerKind } from '../../tower.js';
import { SiglipVisionTransformer } from './siglip-vit.js';
import { siglipGrid, siglipPictures, type SiglipVitConfig } from './siglip-vit-config.js';
import { timmHeadFlops } from './timm.js';

/** Sizes by timm's names for them. */
const sizes: Readonly<Record<string, Partial<SiglipVitConfig>>> = {
  base: { width: 768, layers: 12, heads: 12, mlpRatio: 4 },
  large: { width: 1024, layers: 24, heads: 16, mlpRatio: 4 },
  so400m: { width: 1152, layers: 27, heads: 16, mlpRatio: 3.7362 },
  giantopt: { width: 1536, layers: 40, heads: 16, mlpRatio: 4 },
};

/** Timm's models: size, patch, pictures; those named last have the tanh approximation of GELU. */
const exact = [
  ['base', 16, [224, 256, 384, 512]],
  ['large', 16, [256, 384]],
  ['so400m', 14, [224, 378, 384]],
] as const;
const approximate = [
  ['base', 32, [256]],
  ['large', 16, [512]],
  ['so400m', 16, [256, 384, 512]],
  ['giantopt', 16, [256, 384]],
] as const;

function timmModels(): Record<string, Partial<SiglipVitConfig>> {
  const all = [
    ...exact.map((entry) => ({ entry, geluTanh: false })),
    ...approximate.map((entry) => ({ entry, geluTanh: true })),
  ];
  return Object.fromEntries(
    all.flatMap(({ entry: [size, patchSize, pictures], geluTanh }) =>
      pictures.map((imageSize) => [
        `vit_${size}_patch${patchSize}_siglip_${imageSize}`,
        { ...sizes[size], patchSize, imageSize, geluTanh, normEps: 1e-6 },
      ]),
    ),
  );
}

const timm: TimmTowers<SiglipVitConfig> = {
  models: timmModels(),
  pools: ['map'],
  projections: ['none', 'linear', 'mlp'],
};

/** SigLIP's image tower. */
export const siglipVit: ImageTowerKind<SiglipVitConfig> = {
  type: 'siglip-vit',
  fields: {
    imageSize: count(224),
    patchSize: count(16),
    width: count(768),
    layers: count(12),
    heads: count(12),
    mlpRatio: positive(4),
    normEps: positive(1e-6),
    geluTanh: flag(false),
    proj: oneOf<SiglipVitConfig['proj']>('none', 'linear', 'mlp'),
    projBias: flag(false),
  },
  check(config, { embedDim }) {
    requireMultiple(config, 'width', 'heads', 'vision');
    checkTransformer({ ...plainBlocks, ...config }, 'vision');
    siglipPictures.checkImageSize(config, config.imageSize);
    if (config.proj === 'none' && config.width !== embedDim) {
      throw new BantamError(
        `Without a projection the width of "vision" (${config.width}) is the length of the features; ` +
          `set "embedDim" (${embedDim}) to it, or "proj" to "linear".`,
      );
    }
  },
  ...siglipPictures,
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new SiglipVisionTransformer(options),
  flops(config, { embedDim, training, patchDropout = 0 }) {
    const { width, patchSize } = config;
    const patches = siglipGrid(config) ** 2;
    const tokens = training ? keptPatches(patches, patchDropout) : patches;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    // Query and output of the pooling, keys and values of all tokens, the query's MLP.
    const pooling =
      4 * width ** 2 +
      4 * tokens * width ** 2 +
      attendFlops({ queries: 1, tokens, width }) +
      4 * width * mlpWidth(config);
    const head = timmHeadFlops(config, { width, embedDim });
    return embedding + transformerFlops({ ...plainBlocks, ...config }, tokens) + pooling + head;
  },
  preprocess: { ...channelStatistics.inception, resizeMode: 'squash' },
  positions: { name: 'trunk.pos_embed', prefix: 0, grid: siglipGrid },
  describe: ({ width, layers, patchSize, imageSize }) =>
    `SigLIP ViT ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
