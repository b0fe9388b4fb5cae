import {
  Conv2d,
  LayerNorm,
  mean,
  Module,
  permute,
  reshape,
  scope,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { dropPathRates } from '../../blocks/drop-path.js';
import { runBlocks } from '../../blocks/run-block.js';
import { requirePixels } from './pixels.js';
import type { ImageEncoded, ImageEncodeOptions, ImageTower, TowerOptions } from '../../tower.js';
import { PatchMerging, SwinBlock } from './swin-block.js';
import {
  swinPictures,
  swinStages,
  swinWidth,
  type SwinConfig,
  type SwinStageSizes,
} from './swin-config.js';
import { TimmHead } from './timm.js';

/** Cuts the picture into patches: a convolution whose stride is its kernel, and layer norm. */
class PatchEmbed extends Module {
  proj: Conv2d;
  norm: LayerNorm;

  constructor({ width, patchSize }: SwinConfig, generator: Generator | null) {
    super();
    this.proj = new Conv2d({
      inChannels: 3,
      outChannels: width,
      kernel: patchSize,
      stride: patchSize,
      generator,
    });
    this.norm = new LayerNorm({ width });
  }

  /** [B, 3, S, S] → [B, G, G, W] */
  forward(pixels: Tensor): Tensor {
    return this.norm.forward(permute(this.proj.forward(pixels), [0, 2, 3, 1]));
  }
}

/** Options of {@link SwinStage}. */
interface SwinStageOptions {
  stage: SwinStageSizes;
  mlpRatio: number;
  /** Of each block. */
  dropPaths: readonly number[];
  /** Whether tokens come in as the stage takes them, without merging. */
  first: boolean;
  generator: Generator | null;
}

class SwinStage extends Module {
  downsample: PatchMerging | null;
  blocks: SwinBlock[];

  constructor({ stage, mlpRatio, dropPaths, first, generator }: SwinStageOptions) {
    super();
    this.downsample = first ? null : new PatchMerging({ width: stage.width / 2, generator });
    this.blocks = dropPaths.map(
      (dropPath, i) =>
        new SwinBlock({ stage, mlpRatio, dropPath, shifted: i % 2 === 1, generator }),
    );
  }

  forward(x: Tensor, generator: Generator | undefined): Tensor {
    const start = this.downsample === null ? x : this.downsample.forward(x);
    return runBlocks(this.blocks, start, (block, y) => block.forward(y, generator));
  }
}

/** Patches, stages and a last layer norm, under timm's names. */
class SwinTrunk extends Module {
  patchEmbed: PatchEmbed;
  layers: SwinStage[];
  norm: LayerNorm;

  constructor(config: SwinConfig, generator: Generator | null) {
    super();
    const { mlpRatio, depths, dropPath } = config;
    const stages = swinStages(config);
    const rates = dropPathRates(depths, dropPath);
    this.patchEmbed = new PatchEmbed(config, generator);
    this.layers = stages.map(
      (stage, i) =>
        new SwinStage({
          stage,
          mlpRatio,
          dropPaths: rates[i] ?? [],
          first: i === 0,
          generator,
        }),
    );
    this.norm = new LayerNorm({ width: swinWidth(config) });
  }

  /** [B, 3, S, S] → [B, G, G, W] of the last stage */
  forward(pixels: Tensor, generator: Generator | undefined): Tensor {
    const embedded = this.patchEmbed.forward(pixels);
    return this.norm.forward(
      this.layers.reduce((x, stage) => scope(() => stage.forward(x, generator)), embedded),
    );
  }
}

/**
 * Swin transformer (Liu et al. 2021): attention within windows that move from block to block, on
 * ever fewer and longer tokens; the mean of the last ones, projected. Computes what timm's model
 * inside OpenCLIP computes.
 */
export class SwinTransformer extends Module implements ImageTower {
  trunk: SwinTrunk;
  head: TimmHead;
  readonly config: SwinConfig;

  constructor({ config, embedDim, generator }: TowerOptions<SwinConfig>) {
    super();
    this.config = config;
    this.trunk = new SwinTrunk(config, generator);
    this.head = new TimmHead({ width: swinWidth(config), embedDim, config, generator });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    requirePixels(pixels, { config: this.config, rules: swinPictures, options });
    const { tokens = false, generator } = options;
    const map = this.trunk.forward(pixels, generator);
    const [batch, , , width] = map.shape as [number, number, number, number];
    const places = reshape(map, [batch, -1, width]);
    const representation = mean(places, { dim: 1 });
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: tokens ? places : null,
    };
  }
}
