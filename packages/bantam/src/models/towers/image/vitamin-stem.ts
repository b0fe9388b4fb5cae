import {
  add,
  avgPool2d,
  Conv2d,
  dims,
  gelu,
  LayerNorm,
  Module,
  normalInit,
  zerosInit,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { convFlops, convSize } from '../../blocks/convolution.js';
import { PatchConv } from '../../blocks/patches.js';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import { channelsBehind, channelsFirst, type StemSizes } from './conv-stem.js';

/** Initialises a convolution's weights from N(0, 2/fanOut) (He et al. 2015, eq. 14), its bias with 0. */
function fanOutInit<Conv extends Conv2d>(conv: Conv, generator: Generator | null): Conv {
  const [outChannels, , height, width] = dims(conv.weight, 4);
  const fanOut = (outChannels * height * width) / conv.groups;
  normalInit(conv.weight, generator, { std: Math.sqrt(2 / fanOut) });
  zerosInit(conv.bias);
  return conv;
}

/** Added to the variance in layer norms. */
const normEps = 1e-6;

/** A 3×3 convolution on maps with the channels last. */
class SpatialConv extends Conv2d {
  constructor(options: {
    inChannels: number;
    outChannels: number;
    stride: number;
    groups?: number;
    generator: Generator | null;
  }) {
    super({ ...options, kernel: 3, padding: 1 });
  }

  /** [B, H, W, C] → [B, ⌈H/stride⌉, ⌈W/stride⌉, C′] */
  override forward(x: Tensor): Tensor {
    return channelsBehind(super.forward(channelsFirst(x)));
  }
}

/** Options of the parts of {@link MbConvStem}. */
interface MbConvOptions {
  inWidth: number;
  width: number;
  generator: Generator | null;
}

/** The shortcut of a block that halves its map: a mean over 3×3, and a projection if widths differ. */
class PooledShortcut extends Module {
  expand: PatchConv | null;

  constructor({ inWidth, width, generator }: MbConvOptions) {
    super();
    this.expand = inWidth === width ? null : pointwise(inWidth, width, generator);
  }

  forward(x: Tensor): Tensor {
    const pooled = avgPool2d(channelsFirst(x), {
      kernel: 3,
      stride: 2,
      padding: 1,
      countPadding: false,
    });
    const smaller = channelsBehind(pooled);
    return this.expand === null ? smaller : this.expand.forward(smaller);
  }
}

function pointwise(inChannels: number, outChannels: number, generator: Generator | null) {
  return fanOutInit(new PatchConv({ inChannels, outChannels, size: 1 }), generator);
}

/** Inner width of a block as a multiple of its width. */
const EXPANSION = 4;

/**
 * An inverted bottleneck with layer norm (ViTamin, Chen et al. 2024, section 3.2): shortcut(x) +
 * W₃·GELU(depthwise 3×3(GELU(W₁·LN(x)))).
 */
class MbConvBlock extends Module {
  shortcut: PooledShortcut | null;
  preNorm: LayerNorm;
  conv1_1x1: PatchConv;
  conv2Kxk: SpatialConv;
  conv3_1x1: PatchConv;

  constructor({ stride, ...options }: MbConvOptions & { stride: number }) {
    super();
    const { inWidth, width, generator } = options;
    const inner = EXPANSION * width;
    this.shortcut = stride === 1 ? null : new PooledShortcut(options);
    this.preNorm = new LayerNorm({ width: inWidth, eps: normEps });
    this.conv1_1x1 = pointwise(inWidth, inner, generator);
    const sizes = { inChannels: inner, outChannels: inner, groups: inner, stride, generator };
    this.conv2Kxk = fanOutInit(new SpatialConv(sizes), generator);
    this.conv3_1x1 = pointwise(inner, width, generator);
  }

  /** [B, H, W, C] → [B, ⌈H/stride⌉, ⌈W/stride⌉, C′] */
  forward(x: Tensor): Tensor {
    const expanded = gelu(this.conv1_1x1.forward(this.preNorm.forward(x)));
    const mixed = gelu(this.conv2Kxk.forward(expanded));
    return add(this.conv3_1x1.forward(mixed), this.shortcut?.forward(x) ?? x);
  }
}

/** Two 3×3 convolutions, with layer norm and GELU between them. */
class MbConvEntry extends Module {
  conv1: SpatialConv;
  norm1: LayerNorm;
  conv2: SpatialConv;

  constructor(width: number, generator: Generator | null) {
    super();
    const made = (inChannels: number, stride: number) =>
      fanOutInit(new SpatialConv({ inChannels, outChannels: width, stride, generator }), generator);
    this.conv1 = made(3, 2);
    this.norm1 = new LayerNorm({ width, eps: normEps });
    this.conv2 = made(width, 1);
  }

  forward(x: Tensor): Tensor {
    return this.conv2.forward(gelu(this.norm1.forward(this.conv1.forward(x))));
  }
}

/** Layer norm and a convolution of stride 2. */
class MbConvExit extends Module {
  proj: SpatialConv;
  norm: LayerNorm;

  constructor({ inWidth, width, generator }: MbConvOptions) {
    super();
    const sizes = { inChannels: inWidth, outChannels: width, stride: 2 };
    this.proj = new SpatialConv({ ...sizes, generator });
    this.norm = new LayerNorm({ width: inWidth, eps: normEps });
  }

  forward(x: Tensor): Tensor {
    return this.proj.forward(this.norm.forward(x));
  }
}

/** Blocks of each stage; the first of each halves its map. */
const stageDepths = [2, 4] as const;

/** Blocks in a row, whose names in timm are their numbers. */
class MbConvStage extends Module {
  readonly #blocks: readonly MbConvBlock[];

  constructor({ inWidth, width, generator }: MbConvOptions, depth: number) {
    super();
    this.#blocks = Array.from({ length: depth }, (_, i) =>
      i === 0
        ? new MbConvBlock({ inWidth, width, stride: 2, generator })
        : new MbConvBlock({ inWidth: width, width, stride: 1, generator }),
    );
    Object.assign(this, this.#blocks);
  }

  forward(x: Tensor): Tensor {
    return runBlocks(this.#blocks, x, (block, y) => block.forward(y));
  }
}

/** Options of {@link MbConvStem}. */
export interface MbConvStemOptions {
  /** Channels of the first stage; the second has twice as many. */
  stemWidth: number;
  width: number;
  generator: Generator | null;
}

/** Entry, two stages of blocks, and exit. */
class MbConvStages extends Module {
  stem: MbConvEntry;
  stages: MbConvStage[];
  pool: MbConvExit;

  constructor({ stemWidth, width, generator }: MbConvStemOptions) {
    super();
    this.stem = new MbConvEntry(stemWidth, generator);
    this.stages = stageDepths.map(
      (depth, i) => new MbConvStage({ ...stageWidths(stemWidth, i), generator }, depth),
    );
    this.pool = new MbConvExit({ inWidth: 2 * stemWidth, width, generator });
  }
}

function stageWidths(stemWidth: number, stage: number) {
  return { inWidth: stemWidth * Math.max(1, stage), width: stemWidth * 2 ** stage };
}

/**
 * The stem of ViTamin (Chen et al. 2024, section 3.2): two stages of inverted bottlenecks between
 * convolutions, under timm's names.
 */
export class MbConvStem extends Module {
  backbone: MbConvStages;

  constructor(options: MbConvStemOptions) {
    super();
    this.backbone = new MbConvStages(options);
  }

  /** [B, 3, S, S] → [B, G, G, W] */
  forward(pixels: Tensor): Tensor {
    const { stem, stages, pool } = this.backbone;
    const entered = runBlock((x: Tensor) => stem.forward(x), channelsBehind(pixels));
    const mixed = stages.reduce((x, stage) => stage.forward(x), entered);
    return runBlock((x: Tensor) => pool.forward(x), mixed);
  }
}

/** Sizes of {@link MbConvStem}. */
export function mbConvStemSizes({
  stemWidth,
  width,
  imageSize,
}: Omit<MbConvStemOptions, 'generator'> & { imageSize: number }): StemSizes {
  const halved = (size: number) => convSize(size, { kernel: 3, stride: 2, padding: 1 });
  let grid = halved(imageSize);
  const spatial = (inChannels: number, outChannels: number, groups = 1) =>
    convFlops({ inChannels, outChannels, groups, kernel: 3, out: grid });
  let flops = spatial(3, stemWidth) + spatial(stemWidth, stemWidth);
  stageDepths.forEach((depth, stage) => {
    const { inWidth, width: own } = stageWidths(stemWidth, stage);
    const inner = EXPANSION * own;
    const before = grid;
    grid = halved(grid);
    const point = (inChannels: number, outChannels: number, out: number) =>
      convFlops({ inChannels, outChannels, kernel: 1, out });
    const shortcut = inWidth === own ? 0 : point(inWidth, own, grid);
    const expansions = point(inWidth, inner, before) + (depth - 1) * point(own, inner, grid);
    const rest = spatial(inner, inner, inner) + point(inner, own, grid);
    flops += shortcut + expansions + depth * rest;
  });
  grid = halved(grid);
  return { flops: flops + spatial(2 * stemWidth, width), grid };
}
