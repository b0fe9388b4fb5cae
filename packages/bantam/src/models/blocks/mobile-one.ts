import {
  activations,
  add,
  BatchNorm2d,
  Conv2d,
  foldBatchNorm,
  mean,
  Module,
  mul,
  relu,
  sigmoid,
  type Activation,
  type ConvWeights,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import {
  ConvNorm,
  identityKernel,
  reparamState,
  samePadding,
  sumConvs,
  type Kernel,
} from './convolution.js';

/** Options of {@link SqueezeExcite}. */
export interface SqueezeExciteOptions {
  channels: number;
  hidden: number;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** x·σ(W₂·max(W₁·mean(x) + b₁, 0) + b₂): a gate for each channel (Hu et al. 2018, eq. 3). */
export class SqueezeExcite extends Module {
  fc1: Conv2d;
  fc2: Conv2d;

  constructor({ channels, hidden, generator }: SqueezeExciteOptions) {
    super();
    this.fc1 = new Conv2d({ inChannels: channels, outChannels: hidden, kernel: 1, generator });
    this.fc2 = new Conv2d({ inChannels: hidden, outChannels: channels, kernel: 1, generator });
  }

  /** [B, C, H, W] → [B, C, H, W] */
  forward(x: Tensor): Tensor {
    const squeezed = mean(x, { dim: [2, 3], keepdim: true });
    return mul(x, sigmoid(this.fc2.forward(relu(this.fc1.forward(squeezed)))));
  }
}

/** Options of {@link MobileOneBlock}. */
export interface MobileOneOptions {
  inChannels: number;
  outChannels: number;
  kernel: Kernel;
  /** Default 1. */
  stride?: number;
  /** Default 1; inChannels makes it depthwise. */
  groups?: number;
  /** Which convolutions there are; default: both, of which a kernel of height 1 has only the first. */
  branches?: { conv: boolean; scale: boolean };
  /** Hidden units of squeeze and excitation; null (default): none. */
  squeeze?: number | null;
  /** Null: none. */
  activation: Activation | null;
  /** One convolution in place of the branches. */
  fused: boolean;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/**
 * A block of MobileOne (Vasu et al. 2023, "MobileOne", section 3.2): the sum of a convolution, a 1×1
 * convolution and, where sizes stay, the input itself, each with batch norm; then squeeze and
 * excitation, and an activation. In evaluation the sum is one convolution, which is all that a fused
 * block has.
 */
export class MobileOneBlock extends Module {
  se: SqueezeExcite | null;
  reparamConv: Conv2d | null;
  identity: BatchNorm2d | null;
  convKxk: ConvNorm[];
  convScale: ConvNorm | null;
  readonly kernel: Kernel;
  readonly groups: number;
  readonly activation: Activation | null;

  constructor(options: MobileOneOptions) {
    super();
    const { inChannels, outChannels, kernel, stride = 1, groups = 1, generator } = options;
    const { branches = { conv: true, scale: true }, squeeze = null, fused } = options;
    const sizes = { inChannels, outChannels, stride, groups, generator };
    const full = { ...sizes, kernel, padding: samePadding(kernel) };
    this.se =
      squeeze === null
        ? null
        : new SqueezeExcite({ channels: outChannels, hidden: squeeze, generator });
    this.reparamConv = fused ? new Conv2d(full) : null;
    const keeps = inChannels === outChannels && stride === 1;
    this.identity = !fused && keeps ? new BatchNorm2d({ channels: inChannels }) : null;
    this.convKxk = !fused && branches.conv ? [new ConvNorm(full)] : [];
    const hasScale = !fused && branches.scale && kernel[0] > 1;
    this.convScale = hasScale ? new ConvNorm({ ...sizes, kernel: 1 }) : null;
    this.kernel = kernel;
    this.groups = groups;
    this.activation = options.activation;
  }

  /** [B, C, H, W] → [B, C′, H′, W′] */
  forward(x: Tensor): Tensor {
    const y =
      this.reparamConv?.forward(x) ??
      this.#branches()
        .map((b) => b.forward(x))
        .reduce(add);
    const gated = this.se?.forward(y) ?? y;
    return this.activation === null ? gated : activations[this.activation](gated);
  }

  #branches(): (ConvNorm | BatchNorm2d)[] {
    return [this.convScale, this.identity, ...this.convKxk].filter((branch) => branch !== null);
  }

  /** The one convolution that computes the sum of the branches in evaluation. */
  folded(): ConvWeights {
    const { reparamConv, groups } = this;
    if (reparamConv?.bias) return { weight: reparamConv.weight, bias: reparamConv.bias };
    const convs = this.#branches().map((branch) => {
      if (branch instanceof ConvNorm) return branch.folded();
      const channels = branch.weight.size;
      return foldBatchNorm(identityKernel({ channels, groups }), null, branch);
    });
    return sumConvs(convs, this.kernel);
  }

  override fusedStateDict(): Map<string, Tensor> {
    const gate = [...(this.se?.fusedStateDict() ?? [])];
    return new Map([
      ...gate.map(([name, tensor]): [string, Tensor] => [`se.${name}`, tensor]),
      ...reparamState(this.folded()),
    ]);
  }
}
