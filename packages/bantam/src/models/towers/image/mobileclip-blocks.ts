import {
  add,
  Conv2d,
  gelu,
  Module,
  noGrad,
  type ConvWeights,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import {
  identityKernel,
  padKernel,
  reparamState,
  sumConvs,
  type Kernel,
} from '../../blocks/convolution.js';
import { ConvNorm } from '../../blocks/conv-norm.js';
import { MobileOneBlock } from '../../blocks/mobile-one.js';
import { runBlock, runBlocks } from '../../blocks/run-block.js';
import { SqueezeExcite } from '../../blocks/squeeze-excite.js';
import { createMobileClipBlock, type MobileClipBlock } from './mobileclip-block.js';
import {
  largeKernel,
  smallKernel,
  type MobileClipConfig,
  type MobileClipStageSizes,
} from './mobileclip-config.js';

/** Options of a stage and its parts. */
export interface MobileClipStageOptions {
  config: MobileClipConfig;
  stage: MobileClipStageSizes;
  /** Of each block, as in {@link MobileClipConfig.dropPath}. */
  dropPaths: readonly number[];
  /** Draws the initial weights; null leaves them zero, to be loaded. */
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

/** Between stages: half the places along each edge, {@link LargeKernelConv} and a 1×1 block. */
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

/** x + depthwise(x): positions by what is near (Chu et al. 2021, "Conditional Positional Encodings"). */
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

/** A convolution of stride 2, positions where there is attention, and blocks. */
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
