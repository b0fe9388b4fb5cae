import {
  checkTransformer,
  transformerFields,
  transformerFlops,
} from '../blocks/transformer-config.js';
import { requireMultiple } from '../check-sizes.js';
import { count, flag, oneOf, share } from '../fields.js';
import { readTransformer, writeTransformer } from '../formats/open-clip-members.js';
import type { ImageTowerKind } from '../tower.js';
import { gridSize, keptPatches, type VitConfig } from './vit-config.js';
import { VisionTransformer } from './vision-transformer.js';

/** What OpenCLIP 3.3 also knows: its value that means what Bantam does, or nothing at all. */
const unsupported = {
  attentional_pool: false,
  pos_embed_type: 'learnable',
};

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
    poolType: oneOf('tok', 'avg'),
    finalLnAfterPool: flag(false),
  },
  check(config) {
    requireMultiple(config, 'imageSize', 'patchSize', 'vision');
    requireMultiple(config, 'width', 'headWidth', 'vision');
    checkTransformer(config, 'vision');
  },
  create: (options) => new VisionTransformer(options),
  flops(config, { embedDim, training }) {
    const { width, patchSize } = config;
    const patches = gridSize(config) ** 2;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    const kept = training ? keptPatches(patches, config) : patches;
    return embedding + transformerFlops(config, kept + 1) + 2 * width * embedDim;
  },
  positions: { name: 'positional_embedding', prefix: 1, grid: gridSize },
  describe: ({ width, layers, patchSize, imageSize }) =>
    `ViT ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTransformer(config, vit.fields),
  fromOpenClip: (tower, missing) =>
    Boolean(tower.timm_model_name) || Array.isArray(tower.layers)
      ? null
      : readTransformer(tower, 'vision_cfg', { fields: vit.fields, unsupported, missing }),
};
