import {
  add,
  at,
  Conv2d,
  full,
  isGradEnabled,
  LayerNorm,
  mean,
  Module,
  mul,
  packConvolution,
  Parameter,
  permute,
  reshape,
  scope,
  to,
  type FloatDType,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../../base/errors.js';
import { count, fraction, group, positive, setting, tupleOf } from '../../../base/schema.js';
import { convFlops, convSize } from '../../blocks/convolution.js';
import { PatchConv } from '../../blocks/patches.js';
import { dropPath, dropPathRates, runBlocks } from '../../blocks/run-block.js';
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
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import { requirePixels } from './pixels.js';
import { timmConv, TimmHead, timmHeadEntries, timmHeadFlops, TimmMlp } from './timm.js';

/** Settings of a ConvNeXt. */
const convNextSchema = group({
  type: v.literal('convnext'),
  imageSize: imageSizeSetting(224),
  patchSize: setting(count(), 4, 'Side length of the patches that the first layer embeds.'),
  width: setting(count(), 96, 'Channels of the first stage; they double from stage to stage.'),
  depths: setting(tupleOf(count(), 4), [3, 3, 9, 3], 'Blocks of each stage.'),
  normEps: setting(positive(), 1e-6, 'Added to the variance in layer norms.'),
  dropPath: setting(
    fraction(),
    0,
    "Probability by which training skips the last block's branch (Huang et al. 2016); it rises from 0 at the first.",
  ),
  ...timmHeadEntries,
});

/** A ConvNeXt (Liu et al. 2022). */
export type ConvNextConfig = ConfigOf<typeof convNextSchema>;

/** Side length of the depthwise convolutions' kernel. */
export const depthwiseKernel = 7;

/** Hidden units of a block's MLP as a multiple of its width. */
export const mlpRatio = 4;

/** One stage of a ConvNeXt. */
export interface ConvNextStageSizes {
  readonly width: number;
  readonly depth: number;
  /** Positions along one side. */
  readonly grid: number;
}

/** Sizes of every stage. */
export function convNextStages({
  imageSize,
  patchSize,
  width,
  depths,
}: ConvNextConfig): ConvNextStageSizes[] {
  let grid = convSize(imageSize, { kernel: patchSize, stride: patchSize });
  return depths.map((depth, stage) => {
    if (stage > 0) grid = convSize(grid, { kernel: 2, stride: 2 });
    return { width: width * 2 ** stage, depth, grid };
  });
}

/** Channels of the last stage. */
export function convNextWidth({ width, depths }: ConvNextConfig): number {
  return width * 2 ** (depths.length - 1);
}

/** Initial layer scale of the blocks (Liu et al. 2022, appendix A.1). */
const layerScale = 1e-6;

/** Depthwise convolution on maps with the channels last, the fastest order for its kernels. */
class DepthwiseConv extends Conv2d {
  constructor(width: number) {
    super({
      inChannels: width,
      outChannels: width,
      groups: width,
      kernel: depthwiseKernel,
      padding: (depthwiseKernel - 1) / 2,
      generator: null,
    });
  }

  /** [B, H, W, C] → [B, H, W, C] */
  override forward(x: Tensor): Tensor {
    return permute(super.forward(permute(x, [0, 3, 1, 2])), [0, 2, 3, 1]);
  }
}

/** Options of {@link ConvNextBlock}. */
interface ConvNextBlockOptions {
  width: number;
  normEps: number;
  /** Probability by which training skips the branch for an image. */
  dropPath: number;
  generator: Generator | null;
}

/** x + γ·MLP(LN(depthwise 7×7 convolution of x)) (Liu et al. 2022, figure 4). */
class ConvNextBlock extends Module implements Prepackable {
  convDw: DepthwiseConv;
  norm: LayerNorm;
  mlp: TimmMlp;
  gamma: Parameter;
  readonly #dropPath: number;

  constructor({ width, normEps: eps, dropPath: rate, generator }: ConvNextBlockOptions) {
    super();
    this.convDw = timmConv(new DepthwiseConv(width), generator);
    this.norm = new LayerNorm({ width, eps });
    this.mlp = new TimmMlp({ width, hidden: mlpRatio * width, generator });
    this.gamma = new Parameter(full([width], layerScale));
    this.#dropPath = rate;
  }

  /** [B, H, W, C] → [B, H, W, C] */
  forward(x: Tensor, generator: Generator | undefined): Tensor {
    const normed = this.norm.forward(this.convDw.forward(x));
    if (this.mlp.isPrepacked) return this.mlp.forward(normed, { residual: x });
    const { gamma } = this;
    const { dtype } = gamma;
    const rate = this.training ? this.#dropPath : 0;
    if (!isGradEnabled()) {
      return add(x, dropPath(mul(this.mlp.forward(normed), gamma), { rate, generator }));
    }
    if (rate === 0) return this.mlp.forward(normed, { residual: to(x, { dtype }), scale: gamma });
    const branch = to(this.mlp.forward(normed, { scale: gamma }), { dtype });
    return add(x, dropPath(branch, { rate, generator }));
  }

  prepack(dtype: FloatDType): void {
    packConvolution(this.convDw, { dtype });
    this.mlp.fold(this.gamma);
    this.mlp.prepack(dtype);
  }
}

/** Options of {@link ConvNextStage}. */
interface ConvNextStageOptions {
  stage: ConvNextStageSizes;
  normEps: number;
  /** Of each block. */
  dropPaths: readonly number[];
  /** The first stage does not halve its map. */
  first: boolean;
  generator: Generator | null;
}

class ConvNextStage extends Module {
  downsample: [LayerNorm, PatchConv] | null;
  blocks: ConvNextBlock[];

  constructor({ stage, normEps, dropPaths, first, generator }: ConvNextStageOptions) {
    super();
    const { width } = stage;
    const halving = { inChannels: width / 2, outChannels: width, size: 2 };
    this.downsample = first
      ? null
      : [
          new LayerNorm({ width: width / 2, eps: normEps }),
          timmConv(new PatchConv(halving), generator),
        ];
    this.blocks = dropPaths.map(
      (dropPath) => new ConvNextBlock({ width, normEps, dropPath, generator }),
    );
  }

  forward(x: Tensor, generator: Generator | undefined): Tensor {
    return runBlocks(this.blocks, this.#halve(x), (block, y) => block.forward(y, generator));
  }

  #halve(x: Tensor): Tensor {
    if (this.downsample === null) return x;
    const [norm, conv] = this.downsample;
    return conv.forward(norm.forward(x));
  }
}

/** Global pooling and layer norm, under timm's names. */
class PooledNorm extends Module {
  norm: LayerNorm;

  constructor(width: number, eps: number) {
    super();
    this.norm = new LayerNorm({ width, eps });
  }

  /** The mean over all locations, with layer norm: [B, H, W, C] → [B, C] */
  forward(map: Tensor): Tensor {
    return this.norm.forward(mean(map, { dim: [1, 2] }));
  }
}

/** Patches, stages and the pooled vector's layer norm, under timm's names. */
class ConvNextTrunk extends Module {
  stem: [PatchConv, LayerNorm];
  stages: ConvNextStage[];
  head: PooledNorm;

  constructor(config: ConvNextConfig, generator: Generator | null) {
    super();
    const { width, patchSize: size, depths, normEps, dropPath } = config;
    const rates = dropPathRates(depths, dropPath);
    this.stem = [
      timmConv(new PatchConv({ inChannels: 3, outChannels: width, size }), generator),
      new LayerNorm({ width, eps: normEps }),
    ];
    this.stages = convNextStages(config).map(
      (stage, i) =>
        new ConvNextStage({
          stage,
          normEps,
          dropPaths: at(rates, i),
          first: i === 0,
          generator,
        }),
    );
    this.head = new PooledNorm(convNextWidth(config), normEps);
  }

  /** [B, 3, S, S] → [B, G, G, C] of the last stage */
  forward(pixels: Tensor, generator: Generator | undefined): Tensor {
    const [conv, norm] = this.stem;
    const embedded = norm.forward(conv.forward(permute(pixels, [0, 2, 3, 1])));
    return this.stages.reduce((x, stage) => scope(() => stage.forward(x, generator)), embedded);
  }
}

/**
 * ConvNeXt (Liu et al. 2022): stages of large depthwise convolutions and MLPs on ever smaller maps;
 * the mean of the last one, normalised and projected. Equal to timm's model inside OpenCLIP, but
 * with the channels last, as MLPs and layer norms need them.
 */
export class ConvNext extends Module implements ImageTower {
  trunk: ConvNextTrunk;
  head: TimmHead;
  readonly config: ConvNextConfig;

  constructor({ config, embedDim, generator }: TowerOptions<ConvNextConfig>) {
    super();
    this.config = config;
    this.trunk = new ConvNextTrunk(config, generator);
    this.head = new TimmHead({ width: convNextWidth(config), embedDim, config, generator });
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    requirePixels(pixels, { config: this.config, rules: convNext, options });
    const { tokens = false, generator } = options;
    const map = this.trunk.forward(pixels, generator);
    const representation = this.trunk.head.forward(map);
    return {
      pooled: this.head.forward(representation),
      representation,
      tokens: tokens ? reshape(map, [map.dim(0), -1, map.dim(3)]) : null,
    };
  }
}

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
export const convNext: ImageTowerKind<typeof convNextSchema> = {
  type: 'convnext',
  schema: convNextSchema,
  check(config) {
    convNext.checkImageSize(config, config.imageSize);
  },
  checkImageSize({ patchSize, depths }, imageSize) {
    const least = patchSize * 2 ** (depths.length - 1);
    if (imageSize >= least) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) leaves nothing of the last stage's map; with "patchSize" ${patchSize} it must be at least ${least}.`,
    );
  },
  blocks: /^trunk\.stages\.(\d+)\.(?:blocks\.(\d+)\.)?/,
  create: (options) => new ConvNext(options),
  flops(config, { embedDim }) {
    const stages = convNextStages(config);
    const { grid, width } = at(stages, 0);
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
