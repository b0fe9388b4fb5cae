import { count, list, positive, share } from '../../../base/fields.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { convFlops } from '../../blocks/layer-flops.js';
import type { ImageTowerKind } from '../../tower.js';
import {
  convNextPictures,
  convNextStages,
  convNextWidth,
  depthwiseKernel,
  mlpRatio,
  type ConvNextConfig,
  type ConvNextStageSizes,
} from './convnext-config.js';
import { ConvNext } from './convnext.js';
import { timmHeadFields, timmHeadFlops } from './timm.js';

const inOpenClip = { patchSize: 4, normEps: 1e-6 };

const timm: TimmTowers<ConvNextConfig> = {
  models: {
    convnext_tiny: { ...inOpenClip, width: 96, depths: [3, 3, 9, 3] },
    convnext_small: { ...inOpenClip, width: 96, depths: [3, 3, 27, 3] },
    convnext_base: { ...inOpenClip, width: 128, depths: [3, 3, 27, 3] },
    convnext_large: { ...inOpenClip, width: 192, depths: [3, 3, 27, 3] },
    convnext_xlarge: { ...inOpenClip, width: 256, depths: [3, 3, 27, 3] },
    convnext_xxlarge: { ...inOpenClip, width: 384, depths: [3, 4, 30, 3], normEps: 1e-5 },
  },
  pools: ['', 'avg'],
  dropPath: 0,
};

/** Depthwise convolutions and MLPs of a stage, and the convolution that halves the map before it. */
function stageFlops({ width, depth, grid: out }: ConvNextStageSizes, first: boolean): number {
  const halving = first
    ? 0
    : convFlops({ inChannels: width / 2, outChannels: width, kernel: 2, out });
  const depthwise = convFlops({
    inChannels: width,
    outChannels: width,
    groups: width,
    kernel: depthwiseKernel,
    out,
  });
  return halving + depth * (depthwise + 4 * out ** 2 * mlpRatio * width ** 2);
}

/** ConvNeXts. */
export const convNext: ImageTowerKind<ConvNextConfig> = {
  type: 'convnext',
  fields: {
    imageSize: count(224),
    patchSize: count(4),
    width: count(96),
    depths: list(count(1), [3, 3, 9, 3]),
    normEps: positive(1e-6),
    dropPath: share(0),
    ...timmHeadFields,
  },
  check(config) {
    convNextPictures.checkImageSize(config, config.imageSize);
  },
  ...convNextPictures,
  blocks: /^trunk\.stages\.(\d+)\.(?:blocks\.(\d+)\.)?/,
  create: (options) => new ConvNext(options),
  flops(config, { embedDim }) {
    const stages = convNextStages(config);
    const [{ grid, width }] = stages as [ConvNextStageSizes];
    const stem = { inChannels: 3, outChannels: width, kernel: config.patchSize, out: grid };
    const head = timmHeadFlops(config, { width: convNextWidth(config), embedDim });
    return stages.reduce(
      (sum, stage, i) => sum + stageFlops(stage, i === 0),
      convFlops(stem) + head,
    );
  },
  describe: ({ width, depths, imageSize }) =>
    `ConvNeXt ${width} × ${depths.join('-')}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
