import { requireMultiple } from '../check-sizes.js';
import { count, positive, share } from '../../../base/fields.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import type { ImageTowerKind } from '../../tower.js';
import { mixerPictures, mixerSizes, type MixerConfig } from './mixer-config.js';
import { MlpMixer } from './mixer.js';
import { timmHeadFields, timmHeadFlops } from './timm.js';

const inOpenClip = { imageSize: 224, tokenMlpRatio: 0.5, channelMlpRatio: 4 };

const timm: TimmTowers<MixerConfig> = {
  models: {
    mixer_s32_224: { ...inOpenClip, patchSize: 32, width: 512, layers: 8 },
    mixer_s16_224: { ...inOpenClip, patchSize: 16, width: 512, layers: 8 },
    mixer_b32_224: { ...inOpenClip, patchSize: 32, width: 768, layers: 12 },
    mixer_b16_224: { ...inOpenClip, patchSize: 16, width: 768, layers: 12 },
  },
  pools: ['avg', ''],
  dropPath: 0,
};

/** MLP-Mixers. */
export const mixer: ImageTowerKind<MixerConfig> = {
  type: 'mixer',
  fields: {
    imageSize: count(224),
    patchSize: count(16),
    width: count(512),
    layers: count(8),
    tokenMlpRatio: positive(0.5),
    channelMlpRatio: positive(4),
    dropPath: share(0),
    ...timmHeadFields,
  },
  check(config) {
    requireMultiple(config, 'imageSize', 'patchSize', 'vision');
  },
  ...mixerPictures,
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new MlpMixer(options),
  flops(config, { embedDim }) {
    const { patchSize, width, layers } = config;
    const { patches, tokenHidden, channelHidden } = mixerSizes(config);
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    const block = 4 * patches * width * (tokenHidden + channelHidden);
    return embedding + layers * block + timmHeadFlops(config, { width, embedDim });
  },
  describe: ({ width, layers, patchSize, imageSize }) =>
    `Mixer ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
