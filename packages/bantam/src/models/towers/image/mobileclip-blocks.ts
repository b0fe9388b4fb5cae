import {
  add,
  BatchNorm2d,
  bmm,
  Conv2d,
  dims,
  gelu,
  LayerNorm,
  Module,
  mul,
  noGrad,
  permute,
  reshape,
  scope,
  softmax,
  transpose,
  type ConvWeights,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import {
  ConvNorm,
  identityKernel,
  padKernel,
  reparamState,
  sumConvs,
  type Kernel,
} from '../../blocks/convolution.js';
import { MobileOneBlock, SqueezeExcite } from '../../blocks/mobile-one.js';
import { ConvMlp, MapScale, RepMixerBlock } from '../../blocks/rep-mixer.js';
import { splitQkv } from '../../blocks/attention.js';
import { dropPath, runBlock, runBlocks } from '../../blocks/run-block.js';
import { SasPBlock } from '../../blocks/sas-p.js';
import {
  hasFiveStages,
  largeKernel,
  smallKernel,
  type MobileClipConfig,
  type MobileClipStageSizes,
} from './mobileclip-config.js';
import { tokensOf } from './pixels.js';
import { timmLinear } from './timm.js';

/**
 * A {@link SasPBlock} over the locations of a map, as in SiCLIP's last stage (Liu 2024). It has no skip
 * connection, so nothing of it can be skipped in training.
 */
export class MapSasPBlock extends Module implements MobileClipBlock {
  block: SasPBlock;

  constructor({ config, stage, before, generator }: MobileClipBlockOptions) {
    super();
    const { width, hidden } = stage;
    const sizes = { width, heads: width / config.headWidth, hidden, normEps: 1e-5, generator };
    const isShared = config.sharedAttention && before instanceof MapSasPBlock;
    this.block = new SasPBlock(isShared ? { ...sizes, attention: before.block.attention } : sizes);
  }

  protected override get hoisted(): readonly string[] {
    return ['block'];
  }

  /** [B, W, G, G] → [B, W, G, G] */
  forward(x: Tensor): Tensor {
    return reshape(transpose(this.block.forward(tokensOf(x)), 1, 2), x.shape);
  }
}

/** Options of a block of a MobileCLIP tower. */
export interface MobileClipBlockOptions {
  config: MobileClipConfig;
  stage: MobileClipStageSizes;
  /** Probability by which training skips a branch for an image. */
  dropPath: number;
  /** The block before it in the stage. */
  before: MobileClipBlock | undefined;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** A block: maps [B, W, G, G] → [B, W, G, G]; `generator` is the random stream of training. */
export interface MobileClipBlock extends Module {
  forward(x: Tensor, generator?: Generator): Tensor;
}

/** The next block of a stage, of the kind that the configuration asks for. */
export function createMobileClipBlock(options: MobileClipBlockOptions): MobileClipBlock {
  const { config, stage, dropPath: rate, generator } = options;
  if (stage.attention) {
    return config.attention === 'sas-p' ? new MapSasPBlock(options) : new AttentionBlock(options);
  }
  return new RepMixerBlock({
    width: stage.width,
    hidden: stage.hidden,
    kernel: [smallKernel, smallKernel],
    mlpKernel: [largeKernel, largeKernel],
    layerScale: config.layerScale,
    activation: 'gelu',
    fused: config.fused,
    dropPath: rate,
    generator,
  });
}

/** softmax(q·kᵀ/√d)·v between all locations of a map, per head; q, k and v without biases. */
class MapAttention extends Module {
  qkv: Linear;
  proj: Linear;
  readonly heads: number;

  constructor({ config, stage, generator }: MobileClipBlockOptions) {
    super();
    const { width } = stage;
    this.qkv = timmLinear({ inFeatures: width, outFeatures: 3 * width, bias: false, generator });
    this.proj = timmLinear({ inFeatures: width, outFeatures: width, generator });
    this.heads = width / config.headWidth;
  }

  /** [B, W, G, G] → [B, W, G, G] */
  forward(x: Tensor): Tensor {
    const [batch, width, ...sides] = dims(x, 4);
    const { heads } = this;
    const depth = width / heads;
    const tokens = transpose(reshape(x, [batch, width, -1]), 1, 2);
    const length = tokens.dim(1);
    const [q, k, v] = splitQkv(this.qkv.forward(tokens), heads);
    const weights = softmax(bmm(mul(q, depth ** -0.5), transpose(k, 1, 2)), -1);
    const mixed = permute(reshape(bmm(weights, v), [batch, heads, length, depth]), [0, 2, 1, 3]);
    const projected = this.proj.forward(reshape(mixed, [batch, length, width]));
    return reshape(transpose(projected, 1, 2), [batch, width, ...sides]);
  }
}

/** Layer norm of each location of a map [B, C, H, W]. */
class MapLayerNorm extends LayerNorm {
  override forward(x: Tensor): Tensor {
    return permute(super.forward(permute(x, [0, 2, 3, 1])), [0, 3, 1, 2]);
  }
}

/**
 * y = x + γ₁·attention(norm(x)), then y + γ₂·MLP(y), by {@link ConvMlp} and batch norm, with five
 * stages layer norm.
 */
class AttentionBlock extends Module implements MobileClipBlock {
  norm: BatchNorm2d | MapLayerNorm;
  tokenMixer: MapAttention;
  layerScale_1: MapScale;
  mlp: ConvMlp;
  layerScale_2: MapScale;
  readonly #dropPath: number;

  constructor(options: MobileClipBlockOptions) {
    super();
    const { config, stage, generator } = options;
    const { width, hidden } = stage;
    const scale = { width, value: config.layerScale };
    this.norm = hasFiveStages(config)
      ? new MapLayerNorm({ width })
      : new BatchNorm2d({ channels: width });
    this.tokenMixer = new MapAttention(options);
    this.layerScale_1 = new MapScale(scale);
    this.mlp = new ConvMlp({
      width,
      hidden,
      kernel: [largeKernel, largeKernel],
      activation: 'gelu',
      generator,
    });
    this.layerScale_2 = new MapScale(scale);
    this.#dropPath = options.dropPath;
  }

  forward(x: Tensor, generator?: Generator): Tensor {
    return scope(() => {
      const rate = this.training ? this.#dropPath : 0;
      const attended = this.layerScale_1.forward(this.tokenMixer.forward(this.norm.forward(x)));
      const y = add(x, dropPath(attended, { rate, generator }));
      return add(y, dropPath(this.layerScale_2.forward(this.mlp.forward(y)), { rate, generator }));
    });
  }
}

/** Options of a stage and its parts. */
export interface MobileClipStageOptions {
  config: MobileClipConfig;
  stage: MobileClipStageSizes;
  /** Of each block, as in {@link MobileClipConfig.dropPath}. */
  dropPaths: readonly number[];
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

type PartOptions = Omit<MobileClipStageOptions, 'dropPaths'>;

const kernel: Kernel = [largeKernel, largeKernel];

/**
 * The sum of a 7×7 and a 3×3 convolution of stride 2, each within the groups of its inputs and with
 * batch norm (Ding et al. 2022, "RepLKNet"); then squeeze and excitation, and GELU.
 */
class LargeKernelConv extends Module {
  reparamConv: Conv2d | null = null;
  largeConv: ConvNorm | null = null;
  smallConv: ConvNorm | null = null;
  se: SqueezeExcite | null;

  constructor({ config, stage, generator }: PartOptions) {
    super();
    const { inWidth: inChannels, width: outChannels, squeeze } = stage;
    const sizes = { inChannels, outChannels, stride: 2, groups: inChannels, generator };
    const large = { ...sizes, kernel: largeKernel, padding: Math.floor(largeKernel / 2) };
    const small = { ...sizes, kernel: smallKernel, padding: Math.floor(smallKernel / 2) };
    if (config.fused) this.reparamConv = new Conv2d(large);
    else {
      this.largeConv = new ConvNorm(large);
      this.smallConv = new ConvNorm(small);
    }
    this.se =
      squeeze === null
        ? null
        : new SqueezeExcite({ channels: outChannels, hidden: squeeze, generator });
  }

  /** [B, C, G, G] → [B, C′, ⌈G/2⌉, ⌈G/2⌉] */
  forward(x: Tensor): Tensor {
    const y = this.#convs()
      .map((conv) => conv.forward(x))
      .reduce(add);
    return gelu(this.se?.forward(y) ?? y);
  }

  #convs(): (Conv2d | ConvNorm)[] {
    return [this.reparamConv, this.largeConv, this.smallConv].filter((conv) => conv !== null);
  }

  override fusedStateDict(): Map<string, Tensor> {
    const { largeConv, smallConv } = this;
    if (largeConv === null || smallConv === null) return super.fusedStateDict();
    const gate = [...(this.se?.stateDict() ?? [])];
    return new Map([
      ...gate.map(([name, tensor]): [string, Tensor] => [`se.${name}`, tensor]),
      ...reparamState(sumConvs([largeConv.folded(), smallConv.folded()], kernel)),
    ]);
  }
}

/** Between stages: half the locations along each side, {@link LargeKernelConv} and a 1×1 block. */
class Downsample extends Module {
  proj: [LargeKernelConv, MobileOneBlock];

  constructor(options: PartOptions) {
    super();
    const { config, stage, generator } = options;
    this.proj = [
      new LargeKernelConv(options),
      new MobileOneBlock({
        inChannels: stage.width,
        outChannels: stage.width,
        kernel: [1, 1],
        activation: 'gelu',
        fused: config.fused,
        generator,
      }),
    ];
  }

  forward(x: Tensor): Tensor {
    return this.proj[1].forward(this.proj[0].forward(x));
  }
}

/** x + depthwise(x): positions from the neighbourhood (Chu et al. 2021, "Conditional Positional Encodings"). */
class PositionalEncoding extends Module {
  reparamConv: Conv2d | null;
  posEnc: Conv2d | null;

  constructor({ config, stage, generator }: PartOptions) {
    super();
    const conv = new Conv2d({
      inChannels: stage.width,
      outChannels: stage.width,
      kernel: largeKernel,
      padding: Math.floor(largeKernel / 2),
      groups: stage.width,
      generator,
    });
    this.reparamConv = config.fused ? conv : null;
    this.posEnc = config.fused ? null : conv;
  }

  forward(x: Tensor): Tensor {
    return this.posEnc === null
      ? (this.reparamConv?.forward(x) ?? x)
      : add(x, this.posEnc.forward(x));
  }

  override fusedStateDict(): Map<string, Tensor> {
    const { weight, bias } = this.posEnc ?? {};
    if (weight === undefined || !bias) return super.fusedStateDict();
    return new Map(reparamState({ weight: withIdentity(weight), bias }));
  }
}

/** The depthwise kernel of x + W∗x. */
function withIdentity(weight: Tensor): ConvWeights['weight'] {
  const channels = weight.dim(0);
  return noGrad(() =>
    add(weight, padKernel(identityKernel({ channels, groups: channels }), kernel)),
  );
}

/** A convolution of stride 2, positions before attention, and blocks. */
export class MobileClipStage extends Module {
  downsample: Downsample | null;
  posEmb: PositionalEncoding | null;
  blocks: MobileClipBlock[];

  constructor(options: MobileClipStageOptions) {
    super();
    const { stage, dropPaths } = options;
    this.downsample = stage.downsample ? new Downsample(options) : null;
    this.posEmb = stage.attention ? new PositionalEncoding(options) : null;
    this.blocks = [];
    for (const dropPath of dropPaths) {
      const before = this.blocks.at(-1);
      this.blocks.push(createMobileClipBlock({ ...options, dropPath, before }));
    }
  }

  forward(x: Tensor, generator?: Generator): Tensor {
    const start = runBlock((x: Tensor) => {
      const smaller = this.downsample?.forward(x) ?? x;
      return this.posEmb?.forward(smaller) ?? smaller;
    }, x);
    return runBlocks(this.blocks, start, (block, y) => block.forward(y, generator));
  }
}
