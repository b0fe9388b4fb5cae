import type { Conv2d } from '@bantam/torch';
import {
  BatchNorm2d,
  channelsLast,
  maxPool2d,
  mean,
  Module,
  normedConv,
  packConvolution,
  type FloatDType,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import type { Packable } from '../../inference/inference.js';
import { placesOf, requirePixels } from './pixels.js';
import type { ImageEncoded, ImageEncodeOptions, ImageTower, TowerOptions } from '../../tower.js';
import { bottlenecks, EXPANSION, heNormalInit, plainConv, type Bottleneck } from './bottleneck.js';
import { resNetPictures, type ResNetConfig } from './resnet-config.js';
import { TimmHead } from './timm.js';

/** Everything up to the last map, under timm's names. */
class ResNetTrunk extends Module implements Packable {
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
      bottlenecks(depths[i] ?? 0, {
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

  pack(dtype: FloatDType): void {
    packConvolution(this.conv1, { norm: this.bn1, dtype });
  }
}

/** ResNet-50 and its like (He et al. 2016); computes what timm's model inside OpenCLIP computes. */
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
    requirePixels(pixels, { config: this.config, rules: resNetPictures, options });
    const map = this.trunk.forward(pixels);
    const representation = mean(map, { dim: [2, 3] });
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: options.tokens === true ? placesOf(map) : null,
    };
  }
}
