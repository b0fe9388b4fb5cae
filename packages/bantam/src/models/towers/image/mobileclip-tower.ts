import {
  channelsLast,
  flatten,
  mean,
  Module,
  transpose,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { dropPathRates } from '../../blocks/drop-path.js';
import { MobileOneBlock } from '../../blocks/mobile-one.js';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import { requirePixels } from './pixels.js';
import type { ImageEncoded, ImageEncodeOptions, ImageTower, TowerOptions } from '../../tower.js';
import {
  mobileClipEnd,
  mobileClipPictures,
  mobileClipStages,
  smallKernel,
  type MobileClipConfig,
} from './mobileclip-config.js';
import { MobileClipStage } from './mobileclip-blocks.js';
import { timmLinear } from './timm-init.js';

/** Three blocks before the stages: a quarter of the places along each edge. */
function createStem({ widths, fused }: MobileClipConfig, generator: Generator | null) {
  const outChannels = widths[0] ?? 0;
  const shared = { outChannels, activation: 'gelu', fused, generator } as const;
  const spatial = { ...shared, kernel: [smallKernel, smallKernel], stride: 2 } as const;
  return [
    new MobileOneBlock({ ...spatial, inChannels: 3 }),
    new MobileOneBlock({ ...spatial, inChannels: outChannels, groups: outChannels }),
    new MobileOneBlock({ ...shared, inChannels: outChannels, kernel: [1, 1] }),
  ];
}

/** The projection, under timm's name. */
class Head extends Module {
  fc: Linear;

  constructor({ config, embedDim, generator }: TowerOptions<MobileClipConfig>) {
    super();
    this.fc = timmLinear({
      inFeatures: mobileClipEnd(config).width,
      outFeatures: embedDim,
      bias: config.projBias,
      generator,
    });
  }
}

/** Stem, stages, a last convolution and the projection, under timm's names. */
class MobileClipTrunk extends Module {
  stem: MobileOneBlock[];
  stages: MobileClipStage[];
  finalConv: MobileOneBlock;
  head: Head;

  constructor(options: TowerOptions<MobileClipConfig>) {
    super();
    const { config, generator } = options;
    const rates = dropPathRates(config.depths, config.dropPath);
    const { inWidth, width, squeeze } = mobileClipEnd(config);
    this.stem = createStem(config, generator);
    this.stages = mobileClipStages(config).map(
      (stage, i) => new MobileClipStage({ config, stage, dropPaths: rates[i] ?? [], generator }),
    );
    this.finalConv = new MobileOneBlock({
      inChannels: inWidth,
      outChannels: width,
      kernel: [smallKernel, smallKernel],
      groups: inWidth,
      squeeze,
      activation: 'gelu',
      fused: config.fused,
      generator,
    });
    this.head = new Head(options);
  }

  /** [B, 3, S, S] → [B, 2W, G, G] of the last stage's width W */
  forward(pixels: Tensor, generator: Generator | undefined): Tensor {
    const embedded = runBlocks(this.stem, pixels, (block, x) => block.forward(x));
    const mixed = this.stages.reduce((x, stage) => stage.forward(x, generator), embedded);
    return runBlock((x: Tensor) => this.finalConv.forward(x), mixed);
  }
}

/**
 * MobileCLIP's image tower (Vasu et al. 2024, section 3.2; FastViT, Vasu et al. 2023): convolutions
 * that are trained as several branches and merge into one for evaluation, and attention where maps
 * are small; the mean of the last map, projected. Computes what timm's `fastvit_mci…` inside
 * OpenCLIP computes, and weights start as timm's.
 */
export class MobileClipTower extends Module implements ImageTower {
  trunk: MobileClipTrunk;
  readonly config: MobileClipConfig;

  constructor(options: TowerOptions<MobileClipConfig>) {
    super();
    this.config = options.config;
    this.trunk = new MobileClipTrunk(options);
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    requirePixels(pixels, { config: this.config, rules: mobileClipPictures, options });
    const { tokens = false, generator } = options;
    const map = this.trunk.forward(channelsLast(pixels), generator);
    const representation = mean(map, { dim: [2, 3] });
    return {
      pooled: this.trunk.head.fc.forward(representation),
      representation,
      tokens: tokens ? transpose(flatten(map, { start: 2 }), 1, 2) : null,
    };
  }
}
