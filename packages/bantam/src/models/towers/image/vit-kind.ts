import {
  checkTransformer,
  describeBlocks,
  isPlain,
  transformerFields,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { BantamError } from '../../../base/errors.js';
import { attentionalPoolerFlops } from '../../blocks/attentional-pooler.js';
import { keptPatches } from '../../blocks/patches.js';
import { requireMultiple } from '../check-sizes.js';
import { count, flag, oneOf, share, type Field } from '../../../base/fields.js';
import { readTransformer, writeTransformer } from '../open-clip-members.js';
import type { ImageTowerKind } from '../../tower.js';
import { gridSize, poolers, vitPictures, type VitConfig } from './vit-config.js';
import { VisionTransformer } from './vit.js';

const attentionalPool: Field<VitConfig['attentionalPool']> = {
  wanted: 'true, false, "parallel" or "cascade"',
  accepts: (value) => [true, false, 'parallel', 'cascade'].some((known) => known === value),
  fallback: false,
};

/** @throws BantamError where attentional pooling of this configuration cannot be. */
function checkPooling(config: VitConfig, embedDim: number): void {
  const { attentionalPool, attnPoolerHeads, attnPoolerQueries, poolType, width } = config;
  if (attentionalPool === false) return;
  if (embedDim % attnPoolerHeads !== 0) {
    throw new BantamError(
      `"embedDim" (${embedDim}) must be a multiple of "attnPoolerHeads" of "vision" (${attnPoolerHeads}).`,
    );
  }
  if (attentionalPool === true) {
    if (poolType === 'tok' || attnPoolerQueries > 1) return;
    throw new BantamError(
      '"poolType" "avg" of "vision" leaves the first query out; set "attnPoolerQueries" to more than 1.',
    );
  }
  // The last layer norm stands before the pooling, and has the features' length.
  if (width === embedDim) return;
  throw new BantamError(
    `With "attentionalPool" "${attentionalPool}" the width of "vision" (${width}) is the length of the features; set "embedDim" (${embedDim}) to it.`,
  );
}

/** CLIP's own image tower. */
export const vit: ImageTowerKind<VitConfig> = {
  type: 'vit',
  fields: {
    imageSize: count(224),
    patchSize: count(16),
    width: count(768),
    headWidth: count(64),
    ...transformerFields,
    patchDropout: share(0),
    noLnPre: flag(false),
    posEmbedType: oneOf('learnable', 'sin_cos_2d'),
    poolType: oneOf('tok', 'avg'),
    finalLnAfterPool: flag(false),
    attentionalPool,
    attnPoolerQueries: count(256),
    attnPoolerHeads: count(8),
  },
  check(config, { embedDim }) {
    vitPictures.checkImageSize(config, config.imageSize);
    requireMultiple(config, 'width', 'headWidth', 'vision');
    checkTransformer(config, 'vision');
    if (config.posEmbedType === 'sin_cos_2d' && config.width % 4 !== 0) {
      throw new BantamError(
        `"width" of "vision" (${config.width}) must be a multiple of 4 for positions of sines and cosines.`,
      );
    }
    checkPooling(config, embedDim);
  },
  ...vitPictures,
  blocks: /^transformer\.resblocks\.(\d+)\./,
  create: (options) => new VisionTransformer(options),
  flops(config, { embedDim, training, patchDropout = config.patchDropout }) {
    const { width, patchSize } = config;
    const patches = gridSize(config) ** 2;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    const tokens = 1 + (training ? keptPatches(patches, patchDropout) : patches);
    const blocks = embedding + transformerFlops(config, tokens);
    if (config.attentionalPool === false) return blocks + 2 * width * embedDim;
    const pooling = poolers(config, embedDim).map((sizes, i) =>
      attentionalPoolerFlops(
        sizes,
        i > 0 && config.attentionalPool === 'cascade' ? config.attnPoolerQueries : tokens,
      ),
    );
    return pooling.reduce((sum, part) => sum + part, blocks + 2 * embedDim ** 2);
  },
  positions: { name: 'positional_embedding', prefix: 1, grid: gridSize },
  describe: (config) =>
    `ViT ${describeBlocks(config)}, patch ${config.patchSize}, ${config.imageSize} px`,
  toOpenClip: (config) => (isPlain(config) ? writeTransformer(config, vit.fields) : null),
  fromOpenClip: (tower, missing) =>
    Boolean(tower.timm_model_name) || Array.isArray(tower.layers)
      ? null
      : readTransformer(tower, 'vision_cfg', { fields: vit.fields, unsupported: {}, missing }),
};
