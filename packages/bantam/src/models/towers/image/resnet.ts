import {
  at,
  BatchNorm2d,
  channelsLast,
  maxPool2d,
  mean,
  Module,
  normedConv,
  packConvolution,
  type Conv2d,
  type FloatDType,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { count, group, setting, tupleOf } from '../../../base/schema.js';
import { convFlops, convSize } from '../../blocks/convolution.js';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import type { Prepackable } from '../../blocks/prepackable.js';
import {
  imageSizeSetting,
  type ConfigOf,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import {
  bottleneckFlops,
  bottlenecks,
  EXPANSION,
  heNormalInit,
  plainConv,
  type Bottleneck,
} from './bottleneck.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { requirePixels, tokensOf } from './pixels.js';
import { TimmHead, timmHeadEntries, timmHeadFlops } from './timm.js';

/** Settings of a residual network. */
const resNetSchema = group({
  type: v.literal('resnet'),
  imageSize: imageSizeSetting(224),
  width: setting(
    count(),
    64,
    "Channels of the first stage's inner convolutions; they double from stage to stage.",
  ),
  depths: setting(tupleOf(count(), 4), [3, 4, 6, 3], 'Blocks of each stage.'),
  ...timmHeadEntries,
});

/** A residual network of bottlenecks with global average pooling (He et al. 2016). */
export type ResNetConfig = ConfigOf<typeof resNetSchema>;

/** Everything up to the last map, under timm's names. */
class ResNetTrunk extends Module implements Prepackable {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  layer1: Bottleneck[];
  layer2: Bottleneck[];
  layer3: Bottleneck[];
  layer4: Bottleneck[];

  constructor({ width, depths }: ResNetConfig, generator: Generator | null) {
    super();
    const stem = { inChannels: 3, outChannels: width, kernel: 7, stride: 2, generator };
    this.conv1 = heNormalInit(plainConv(stem), generator);
    this.bn1 = new BatchNorm2d({ channels: width });
    const stage = (i: number) =>
      bottlenecks(at(depths, i), {
        inChannels: i === 0 ? width : EXPANSION * width * 2 ** (i - 1),
        width: width * 2 ** i,
        stride: i === 0 ? 1 : 2,
        antialias: false,
        heInit: true,
        generator,
      });
    this.layer1 = stage(0);
    this.layer2 = stage(1);
    this.layer3 = stage(2);
    this.layer4 = stage(3);
  }

  /** [B, 3, S, S] → [B, 32·width, ⌈S/32⌉, ⌈S/32⌉] */
  forward(pixels: Tensor): Tensor {
    const stem = runBlock((pixels: Tensor) => {
      const x = normedConv(channelsLast(pixels), [this.conv1, this.bn1], { relu: true });
      return maxPool2d(x, { kernel: 3, stride: 2, padding: 1 });
    }, pixels);
    const blocks = [...this.layer1, ...this.layer2, ...this.layer3, ...this.layer4];
    return runBlocks(blocks, stem, (block, x) => block.forward(x));
  }

  prepack(dtype: FloatDType): void {
    packConvolution(this.conv1, { norm: this.bn1, dtype });
  }
}

/** ResNet-50 and its like (He et al. 2016); equal to timm's model inside OpenCLIP. */
export class ResNet extends Module implements ImageTower {
  trunk: ResNetTrunk;
  head: TimmHead;
  readonly config: ResNetConfig;

  constructor({ config, embedDim, generator }: TowerOptions<ResNetConfig>) {
    super();
    this.config = config;
    this.trunk = new ResNetTrunk(config, generator);
    this.head = new TimmHead({ width: 32 * config.width, embedDim, config, generator });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    requirePixels(pixels, { config: this.config, rules: resNet, options });
    const map = this.trunk.forward(pixels);
    const representation = mean(map, { dim: [2, 3] });
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: options.tokens === true ? tokensOf(map) : null,
    };
  }
}

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
export const resNet: ImageTowerKind<typeof resNetSchema> = {
  type: 'resnet',
  schema: resNetSchema,
  check: () => undefined,
  // Global average pooling takes maps of any size.
  checkImageSize: () => undefined,
  blocks: /^trunk\.layer(\d)\.(\d+)\./,
  create: (options) => new ResNet(options),
  flops: (config, { embedDim }) =>
    trunkFlops(config) + timmHeadFlops(config, { width: 32 * config.width, embedDim }),
  describe: ({ width, depths, imageSize }) =>
    `ResNet ${width} × ${depths.join('-')}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
