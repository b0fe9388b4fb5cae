import {
  at,
  channelsLast,
  flatten,
  mean,
  Module,
  transpose,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { convFlops } from '../../blocks/convolution.js';
import { MobileOneBlock } from '../../blocks/mobile-one.js';
import { dropPathRates, runBlock, runBlocks } from '../../blocks/run-block.js';
import { channelStatistics } from '../../preprocess.js';
import type {
  ImageEncoded,
  ImageEncodeOptions,
  ImageTower,
  ImageTowerKind,
  TowerOptions,
} from '../../tower.js';
import { MobileClipStage } from './mobileclip-blocks.js';
import {
  halved,
  hasFiveStages,
  largeKernel,
  mobileClipEnd,
  mobileClipSchema,
  mobileClipStages,
  smallKernel,
  type MobileClipConfig,
  type MobileClipStageSizes,
} from './mobileclip-config.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { requirePixels } from './pixels.js';
import { timmLinear } from './timm.js';

/** Three blocks before the stages: a quarter of the locations along each side. */
function createStem(config: MobileClipConfig, generator: Generator | null) {
  const { widths, fused } = config;
  const outChannels = at(widths, 0);
  const branches = { conv: true, scale: !hasFiveStages(config) };
  const shared = { outChannels, activation: 'gelu', fused, generator } as const;
  const spatial = { ...shared, kernel: [smallKernel, smallKernel], stride: 2, branches } as const;
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
      (stage, i) => new MobileClipStage({ config, stage, dropPaths: at(rates, i), generator }),
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
 * are small; the mean of the last map, projected. Equal to timm's `fastvit_mci…` inside OpenCLIP,
 * initial weights included.
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
    requirePixels(pixels, { config: this.config, rules: mobileClip, options });
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

/** A depthwise or grouped convolution in the kernels of its branches. */
function branchFlops(
  sizes: { inChannels: number; outChannels: number; groups?: number; out: number },
  kernels: readonly number[],
): number {
  return kernels.reduce((sum, kernel) => sum + convFlops({ ...sizes, kernel }), 0);
}

function squeezeFlops(channels: number, hidden: number | null): number {
  return 4 * channels * (hidden ?? 0);
}

function stageFlops(
  { inWidth, width, depth, hidden, grid, downsample, squeeze, attention }: MobileClipStageSizes,
  { fused, attention: kind }: MobileClipConfig,
): number {
  const locations = grid ** 2;
  const depthwise = { inChannels: width, outChannels: width, groups: width, out: grid };
  const simplified = attention && kind === 'sas-p';
  const convolved = simplified ? 0 : convFlops({ ...depthwise, kernel: largeKernel });
  const mlp = convolved + 4 * locations * width * hidden;
  const attended = (simplified ? 4 : 8) * locations * width ** 2 + 4 * locations ** 2 * width;
  const mixer = attention
    ? attended
    : branchFlops(depthwise, fused ? [smallKernel] : [smallKernel, 1]);
  const positions = attention ? convFlops({ ...depthwise, kernel: largeKernel }) : 0;
  const grouped = { inChannels: inWidth, outChannels: width, groups: inWidth, out: grid };
  const before = downsample
    ? branchFlops(grouped, fused ? [largeKernel] : [largeKernel, smallKernel]) +
      squeezeFlops(width, squeeze) +
      2 * locations * width ** 2
    : 0;
  return before + positions + depth * (mixer + mlp);
}

const mci0 = {
  widths: [64, 128, 256, 512],
  depths: [2, 6, 10, 2],
  mlpRatio: 3,
  attention: 'mhsa' as const,
  sharedAttention: false,
  headWidth: 32,
  layerScale: 1e-5,
  projBias: true,
  fused: false,
};

const timm: TimmTowers<MobileClipConfig> = {
  models: {
    fastvit_mci0: mci0,
    fastvit_mci1: { ...mci0, depths: [4, 12, 20, 4] },
    fastvit_mci2: { ...mci0, widths: [80, 160, 320, 640], depths: [4, 12, 24, 4] },
    fastvit_mci3: {
      ...{ ...mci0, mlpRatio: 4 },
      ...{ widths: [96, 192, 384, 768, 1536], depths: [2, 12, 24, 4, 2] },
    },
    fastvit_mci4: {
      ...{ ...mci0, mlpRatio: 4 },
      ...{ widths: [128, 256, 512, 1024, 2048], depths: [2, 12, 24, 4, 4] },
    },
  },
  pools: ['avg'],
  dropPath: 0,
  ownHead: true,
};

/** MobileCLIP's hybrid image towers, and SiCLIP's. */
export const mobileClip: ImageTowerKind<typeof mobileClipSchema> = {
  type: 'mobileclip',
  schema: mobileClipSchema,
  preprocess: { ...channelStatistics.unit, interpolation: 'bilinear' },
  check(config) {
    if (config.sharedAttention && config.attention !== 'sas-p') {
      throw new BantamError(
        '"sharedAttention" of "vision" needs simplified blocks; set "attention" to "sas-p".',
      );
    }
    if (config.depths.length !== config.widths.length) {
      throw new BantamError(
        `"depths" of "vision" are of ${config.depths.length} stages, "widths" of ${config.widths.length}; give both as many.`,
      );
    }
    const stages = mobileClipStages(config);
    for (const { inWidth, width, hidden, attention } of stages) {
      if (width % inWidth !== 0) {
        throw new BantamError(
          `A stage of "vision" has width ${width}, which is no multiple of the ${inWidth} before it; change "widths".`,
        );
      }
      if (attention && width % config.headWidth !== 0) {
        throw new BantamError(
          `The width of a stage of "vision" with attention (${width}) must be a multiple of "headWidth" (${config.headWidth}).`,
        );
      }
      if (hidden < 1) {
        throw new BantamError('"mlpRatio" of "vision" leaves no hidden unit; make it larger.');
      }
    }
  },
  // The mean of a map of any size.
  checkImageSize: () => undefined,
  blocks: /^trunk\.stages\.(\d+)\.(?:blocks\.(\d+)\.)?/,
  create: (options) => new MobileClipTower(options),
  flops(config, { embedDim }) {
    const { imageSize, widths, fused } = config;
    const width = at(widths, 0);
    const half = halved(imageSize, smallKernel);
    const quarter = halved(half, smallKernel);
    const spatial = fused ? [smallKernel] : [smallKernel, 1];
    const sizes = { inChannels: width, outChannels: width };
    const inStem = hasFiveStages(config) ? [smallKernel] : spatial;
    const stem =
      branchFlops({ inChannels: 3, outChannels: width, out: half }, inStem) +
      branchFlops({ ...sizes, groups: width, out: quarter }, inStem) +
      convFlops({ ...sizes, kernel: 1, out: quarter });
    const stages = mobileClipStages(config);
    const end = mobileClipEnd(config);
    const last = {
      inChannels: end.inWidth,
      outChannels: end.width,
      groups: end.inWidth,
      out: at(stages, -1).grid,
    };
    const head =
      branchFlops(last, spatial) + squeezeFlops(end.width, end.squeeze) + 2 * end.width * embedDim;
    return stages.reduce((sum, stage) => sum + stageFlops(stage, config), stem + head);
  },
  describe: ({ attention, widths, depths, imageSize, fused }) =>
    `${attention === 'sas-p' ? 'SiCLIP' : 'MobileCLIP'} ${widths.join('-')} × ${depths.join('-')}${fused ? ', fused' : ''}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
