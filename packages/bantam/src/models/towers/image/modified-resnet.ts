import {
  avgPool2d,
  BatchNorm2d,
  channelsLast,
  Module,
  normedConv,
  packConvolution,
  type Conv2d,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import type { Packable } from '../../inference/inference.js';
import { placesOf, requirePixels } from './pixels.js';
import type { ImageEncoded, ImageEncodeOptions, ImageTower, TowerOptions } from '../../tower.js';
import { AttentionPool2d } from './attention-pool.js';
import { bottlenecks, EXPANSION, plainConv, type Bottleneck } from './bottleneck.js';
import {
  mapWidth,
  modifiedResNetPictures,
  SHRINK,
  type ModifiedResNetConfig,
} from './modified-resnet-config.js';

/**
 * OpenAI's ModifiedResNet (Radford et al. 2021, section 2.4): three convolutions and a pooling in
 * front, bottlenecks that shrink by average pooling (Zhang 2019), and attention that pools the map.
 * Computes what OpenCLIP computes; only the pooled vector asks, which is all that is used.
 */
export class ModifiedResNet extends Module implements ImageTower, Packable {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  conv2: Conv2d;
  bn2: BatchNorm2d;
  conv3: Conv2d;
  bn3: BatchNorm2d;
  layer1: Bottleneck[];
  layer2: Bottleneck[];
  layer3: Bottleneck[];
  layer4: Bottleneck[];
  attnpool: AttentionPool2d;
  readonly config: ModifiedResNetConfig;

  constructor({ config, embedDim, generator }: TowerOptions<ModifiedResNetConfig>) {
    super();
    const { width, depths, imageSize, headWidth } = config;
    const half = width / 2;
    this.config = config;
    this.conv1 = plainConv({ inChannels: 3, outChannels: half, kernel: 3, stride: 2, generator });
    this.bn1 = new BatchNorm2d({ channels: half });
    this.conv2 = plainConv({ inChannels: half, outChannels: half, kernel: 3, generator });
    this.bn2 = new BatchNorm2d({ channels: half });
    this.conv3 = plainConv({ inChannels: half, outChannels: width, kernel: 3, generator });
    this.bn3 = new BatchNorm2d({ channels: width });
    const stage = (i: number) =>
      bottlenecks(depths[i] ?? 0, {
        inChannels: i === 0 ? width : EXPANSION * width * 2 ** (i - 1),
        width: width * 2 ** i,
        stride: i === 0 ? 1 : 2,
        antialias: true,
        heInit: false,
        generator,
      });
    this.layer1 = stage(0);
    this.layer2 = stage(1);
    this.layer3 = stage(2);
    this.layer4 = stage(3);
    this.attnpool = new AttentionPool2d({
      grid: imageSize / SHRINK,
      width: mapWidth(config),
      heads: mapWidth(config) / headWidth,
      outFeatures: embedDim,
      generator,
    });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const { config } = this;
    const imageSize = requirePixels(pixels, { config, rules: modifiedResNetPictures, options });
    const blocks = [...this.layer1, ...this.layer2, ...this.layer3, ...this.layer4];
    const map = runBlocks(blocks, this.#stem(pixels), (block, x) => block.forward(x));
    const places = placesOf(map);
    const representation = this.attnpool.forward(places, { grid: imageSize / SHRINK });
    return {
      pooled: this.attnpool.cProj.forward(representation),
      representation,
      tokens: options.tokens === true ? places : null,
    };
  }

  pack(dtype: FloatDType): void {
    packConvolution(this.conv1, { norm: this.bn1, dtype });
    packConvolution(this.conv2, { norm: this.bn2, dtype });
    packConvolution(this.conv3, { norm: this.bn3, dtype });
  }

  /** [B, 3, S, S] → [B, width, S/4, S/4] */
  #stem(pixels: Tensor): Tensor {
    return runBlock((pixels: Tensor) => {
      const relu = true;
      let x = normedConv(channelsLast(pixels), [this.conv1, this.bn1], { relu });
      x = normedConv(x, [this.conv2, this.bn2], { relu });
      x = normedConv(x, [this.conv3, this.bn3], { relu });
      return avgPool2d(x, { kernel: 2 });
    }, pixels);
  }
}
