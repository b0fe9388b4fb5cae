import {
  at,
  Conv2d,
  dims,
  LayerNorm,
  mean,
  Module,
  permute,
  reshape,
  scope,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, fraction, group, positive, setting, tupleOf } from '../../../base/schema.js';
import { dropPathRates, runBlocks } from '../../blocks/run-block.js';
import {
  imageSizeSetting,
  requireMultiple,
  type ConfigOf,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { refuseOtherSizes, requirePixels } from './pixels.js';
import { PatchMerging, SwinBlock, windowsPerSide, type SwinStageSizes } from './swin-blocks.js';
import { TimmHead, timmHeadEntries, timmHeadFlops } from './timm.js';

/** Settings of a Swin transformer. */
const swinSchema = group({
  type: v.literal('swin'),
  imageSize: imageSizeSetting(224),
  patchSize: setting(count(), 4, 'Side length of a square patch in pixels.'),
  width: setting(
    count(),
    96,
    "Length of a token's vector in the first stage; it doubles from stage to stage.",
  ),
  depths: setting(tupleOf(count(), 4), [2, 2, 6, 2], 'Blocks of each stage.'),
  heads: setting(tupleOf(count(), 4), [3, 6, 12, 24], 'Attention heads of each stage.'),
  windowSize: setting(
    count(),
    7,
    'Side length of the square windows that attention stays within, in tokens.',
  ),
  mlpRatio: setting(positive(), 4, "Hidden units of a block's MLP as a multiple of its width."),
  dropPath: setting(
    fraction(),
    0.1,
    "Probability by which training skips the last block's branches (Huang et al. 2016); it rises from 0 at the first.",
  ),
  ...timmHeadEntries,
});

/** A Swin transformer (Liu et al. 2021). */
export type SwinConfig = ConfigOf<typeof swinSchema>;

/** Sizes of every stage. */
export function swinStages(config: SwinConfig): SwinStageSizes[] {
  let grid = config.imageSize / config.patchSize;
  return config.depths.map((depth, stage) => {
    if (stage > 0) grid = Math.ceil(grid / 2);
    const whole = grid <= config.windowSize;
    return {
      width: config.width * 2 ** stage,
      depth,
      heads: at(config.heads, stage),
      grid,
      window: whole ? grid : config.windowSize,
      shift: whole ? 0 : Math.floor(config.windowSize / 2),
    };
  });
}

/** Length of the last stage's vectors. */
export function swinWidth({ width, depths }: SwinConfig): number {
  return width * 2 ** (depths.length - 1);
}

/** Patches of the image: a convolution whose stride is its kernel, and layer norm. */
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
  /** The first stage does not merge tokens. */
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
          dropPaths: at(rates, i),
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
 * ever fewer and longer tokens; the mean of the last ones, projected. Equal to timm's model inside
 * OpenCLIP.
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
    requirePixels(pixels, { config: this.config, rules: swin, options });
    const { tokens = false, generator } = options;
    const map = this.trunk.forward(pixels, generator);
    const [batch, , , width] = dims(map, 4);
    const all = reshape(map, [batch, -1, width]);
    const representation = mean(all, { dim: 1 });
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: tokens ? all : null,
    };
  }
}

/** A block of width w on n tokens, of which attention sees N with those that fill up windows of L. */
function blockFlops({ grid, width, window, ...stage }: SwinStageSizes, mlpRatio: number): number {
  const seen = (windowsPerSide({ grid, width, window, ...stage }) * window) ** 2;
  const attention = 8 * seen * width ** 2 + 4 * seen * window ** 2 * width;
  return attention + 4 * grid ** 2 * width * Math.floor(width * mlpRatio);
}

const inOpenClip = { patchSize: 4, windowSize: 7, mlpRatio: 4, imageSize: 224 };

const timm: TimmTowers<SwinConfig> = {
  models: {
    swin_tiny_patch4_window7_224: {
      ...inOpenClip,
      width: 96,
      depths: [2, 2, 6, 2],
      heads: [3, 6, 12, 24],
    },
    swin_small_patch4_window7_224: {
      ...inOpenClip,
      width: 96,
      depths: [2, 2, 18, 2],
      heads: [3, 6, 12, 24],
    },
    swin_base_patch4_window7_224: {
      ...inOpenClip,
      width: 128,
      depths: [2, 2, 18, 2],
      heads: [4, 8, 16, 32],
    },
  },
  pools: ['', 'avg'],
  dropPath: 0.1,
};

/** Swin transformers. */
export const swin: ImageTowerKind<typeof swinSchema> = {
  type: 'swin',
  schema: swinSchema,
  check(config) {
    requireMultiple(config, 'imageSize', 'patchSize', 'vision');
    for (const { width, heads } of swinStages(config)) {
      if (width % heads === 0) continue;
      throw new BantamError(
        `A stage of "vision" has width ${width}, which its ${heads} heads do not divide; change "width" or "heads".`,
      );
    }
  },
  // In the last stages the windows are the whole map, and relative positions of its size.
  checkImageSize: refuseOtherSizes,
  blocks: /^trunk\.layers\.(\d+)\.(?:blocks\.(\d+)\.)?/,
  create: (options) => new SwinTransformer(options),
  flops(config, { embedDim }) {
    const stages = swinStages(config);
    const { patchSize, mlpRatio } = config;
    const first = at(stages, 0);
    const embedding = 2 * first.grid ** 2 * first.width * 3 * patchSize ** 2;
    const merging = stages.slice(1).map(({ grid, width }) => 4 * grid ** 2 * width ** 2);
    const blocks = stages.map((stage) => stage.depth * blockFlops(stage, mlpRatio));
    const head = timmHeadFlops(config, { width: swinWidth(config), embedDim });
    return [embedding, ...merging, ...blocks, head].reduce((sum, part) => sum + part, 0);
  },
  describe: ({ width, depths, windowSize, imageSize }) =>
    `Swin ${width} × ${depths.join('-')}, window ${windowSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
