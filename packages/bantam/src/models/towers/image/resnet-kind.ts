import { count, list } from '../../../base/fields.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { convFlops, convSize } from '../../blocks/layer-flops.js';
import type { ImageTowerKind } from '../../tower.js';
import { bottleneckFlops, EXPANSION } from './bottleneck.js';
import { resNetPictures, type ResNetConfig } from './resnet-config.js';
import { ResNet } from './resnet.js';
import { timmHeadFields, timmHeadFlops } from './timm.js';

const timm: TimmTowers<ResNetConfig> = {
  models: {
    resnet50: { width: 64, depths: [3, 4, 6, 3] },
    resnet101: { width: 64, depths: [3, 4, 23, 3] },
  },
  pools: ['avg', ''],
};

function trunkFlops({ width, depths, imageSize }: ResNetConfig): number {
  const half = (size: number, kernel: number) =>
    convSize(size, { kernel, stride: 2, padding: Math.floor(kernel / 2) });
  const stem = half(imageSize, 7);
  let grid = half(stem, 3);
  const stages = depths.map((depth, i) => {
    const stride = i === 0 ? 1 : 2;
    const flops = bottleneckFlops({
      depth,
      inChannels: i === 0 ? width : EXPANSION * width * 2 ** (i - 1),
      width: width * 2 ** i,
      stride,
      antialias: false,
      grid,
    });
    grid = Math.ceil(grid / stride);
    return flops;
  });
  const first = convFlops({ inChannels: 3, outChannels: width, kernel: 7, out: stem });
  return stages.reduce((sum, part) => sum + part, first);
}

/** Residual networks with global average pooling. */
export const resNet: ImageTowerKind<ResNetConfig> = {
  type: 'resnet',
  fields: {
    imageSize: count(224),
    width: count(64),
    depths: list(count(1), [3, 4, 6, 3]),
    ...timmHeadFields,
  },
  check: () => undefined,
  ...resNetPictures,
  blocks: /^trunk\.layer(\d)\.(\d+)\./,
  create: (options) => new ResNet(options),
  flops: (config, { embedDim }) =>
    trunkFlops(config) + timmHeadFlops(config, { width: 32 * config.width, embedDim }),
  describe: ({ width, depths, imageSize }) =>
    `ResNet ${width} × ${depths.join('-')}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
