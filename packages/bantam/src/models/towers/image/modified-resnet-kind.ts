import { BantamError } from '../../../base/errors.js';
import { count, list } from '../../../base/fields.js';
import { readMembers } from '../open-clip-members.js';
import { convFlops } from '../../blocks/layer-flops.js';
import type { ImageTowerKind } from '../../tower.js';
import { bottleneckFlops, EXPANSION } from './bottleneck.js';
import {
  mapWidth,
  modifiedResNetPictures,
  SHRINK,
  type ModifiedResNetConfig,
} from './modified-resnet-config.js';
import { ModifiedResNet } from './modified-resnet.js';

function stemFlops({ width, imageSize }: ModifiedResNetConfig): number {
  const out = imageSize / 2;
  const conv = (inChannels: number, outChannels: number) =>
    convFlops({ inChannels, outChannels, kernel: 3, out });
  return conv(3, width / 2) + conv(width / 2, width / 2) + conv(width / 2, width);
}

function stagesFlops({ width, depths, imageSize }: ModifiedResNetConfig): number {
  return depths
    .map((depth, i) =>
      bottleneckFlops({
        depth,
        inChannels: i === 0 ? width : EXPANSION * width * 2 ** (i - 1),
        width: width * 2 ** i,
        stride: i === 0 ? 1 : 2,
        antialias: true,
        grid: imageSize / 4 / (i === 0 ? 1 : 2 ** (i - 1)),
      }),
    )
    .reduce((sum, part) => sum + part, 0);
}

/** The question and its answer through three matrices and a bias, heads that meet all places, and the projection. */
function poolFlops(config: ModifiedResNetConfig, embedDim: number): number {
  const width = mapWidth(config);
  const heads = width / config.headWidth;
  const length = (config.imageSize / SHRINK) ** 2 + 1;
  return 6 * width ** 2 + 4 * heads * length * width + 2 * width * (embedDim + 1);
}

/** OpenAI's residual networks. */
export const modifiedResNet: ImageTowerKind<ModifiedResNetConfig> = {
  type: 'modified-resnet',
  fields: {
    imageSize: count(224),
    width: count(64),
    depths: list(count(1), [3, 4, 6, 3]),
    headWidth: count(64),
  },
  check(config) {
    const { imageSize, width, headWidth } = config;
    modifiedResNetPictures.checkImageSize(config, imageSize);
    if (width % 2 === 0 && mapWidth(config) % headWidth === 0) return;
    throw new BantamError(
      `"width" of "vision" (${width}) must be even, and 32 times it a multiple of "headWidth" (${headWidth}).`,
    );
  },
  ...modifiedResNetPictures,
  blocks: /^layer(\d)\.(\d+)\./,
  create: (options) => new ModifiedResNet(options),
  flops: (config, { embedDim }) =>
    stemFlops(config) + stagesFlops(config) + poolFlops(config, embedDim),
  positions: {
    name: 'attnpool.positional_embedding',
    prefix: 1,
    grid: ({ imageSize }) => imageSize / SHRINK,
  },
  describe: ({ width, depths, imageSize }) =>
    `ModifiedResNet ${width} × ${depths.join('-')}, ${imageSize} px`,
  toOpenClip: ({ imageSize, width, depths, headWidth }) => ({
    image_size: imageSize,
    layers: depths,
    width,
    patch_size: null,
    ...(headWidth !== modifiedResNet.fields.headWidth.fallback && { head_width: headWidth }),
  }),
  fromOpenClip(tower, missing) {
    const { layers: depths, ...rest } = tower;
    if (!Array.isArray(depths)) return null;
    const { imageSize, width, headWidth } = modifiedResNet.fields;
    const members = readMembers(rest, 'vision_cfg', {
      fields: { imageSize, width, headWidth },
      // A residual network has no patches.
      unsupported: { patch_size: rest.patch_size },
      missing,
    });
    return { ...members, depths: depths as unknown };
  },
};
