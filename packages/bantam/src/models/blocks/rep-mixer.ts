import {
  activations,
  add,
  Conv2d,
  full,
  Module,
  mul,
  noGrad,
  Parameter,
  reshape,
  scope,
  sub,
  truncatedNormalInit,
  zerosInit,
  type Activation,
  type ConvWeights,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import {
  ConvNorm,
  identityKernel,
  padKernel,
  reparamState,
  samePadding,
  type Kernel,
} from './convolution.js';
import { MobileOneBlock } from './mobile-one.js';
import { dropPath } from './run-block.js';

/** x·γ with one weight for each channel of [B, C, H, W]. */
export class MapScale extends Module {
  gamma: Parameter;

  constructor({ width, value }: { width: number; value: number }) {
    super();
    this.gamma = new Parameter(full([width, 1, 1], value));
  }

  forward(x: Tensor): Tensor {
    return mul(x, this.gamma);
  }
}

/** Options of {@link RepMixer} and {@link RepMixerBlock}. */
export interface RepMixerOptions {
  width: number;
  /** Of the token mixer. */
  kernel: Kernel;
  /** First value of the layer scales. */
  layerScale: number;
  /** One convolution in place of the token mixer's branches. */
  fused: boolean;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/**
 * x + γ·(mixer(x) − norm(x)) with a depthwise {@link MobileOneBlock} and a batch norm, in evaluation
 * one depthwise convolution: 1 + γ·(W_mixer − W_norm) (Vasu et al. 2023, "FastViT", section 3.2.1).
 */
export class RepMixer extends Module {
  reparamConv: Conv2d | null;
  norm: MobileOneBlock | null = null;
  mixer: MobileOneBlock | null = null;
  layerScale: MapScale | null = null;

  constructor({ width, kernel, layerScale: value, fused, generator }: RepMixerOptions) {
    super();
    const sizes = { inChannels: width, outChannels: width, kernel, groups: width, generator };
    this.reparamConv = fused ? new Conv2d({ ...sizes, padding: samePadding(kernel) }) : null;
    if (fused) return;
    const branched = { ...sizes, activation: null, fused };
    this.norm = new MobileOneBlock({ ...branched, branches: { conv: false, scale: false } });
    this.mixer = new MobileOneBlock(branched);
    this.layerScale = new MapScale({ width, value });
  }

  forward(x: Tensor): Tensor {
    const { norm, mixer, layerScale } = this;
    if (norm === null || mixer === null || layerScale === null) {
      return this.reparamConv?.forward(x) ?? x;
    }
    return add(x, layerScale.forward(sub(mixer.forward(x), norm.forward(x))));
  }

  override fusedStateDict(): Map<string, Tensor> {
    const { norm, mixer, layerScale } = this;
    if (norm === null || mixer === null || layerScale === null) return super.fusedStateDict();
    return new Map(reparamState(foldMixer(mixer, norm, layerScale)));
  }
}

function foldMixer(mixer: MobileOneBlock, norm: MobileOneBlock, scale: MapScale): ConvWeights {
  return noGrad(() => {
    const [a, b] = [mixer.folded(), norm.folded()];
    const channels = mixer.groups;
    const identity = padKernel(identityKernel({ channels, groups: channels }), mixer.kernel);
    const gamma = reshape(scale.gamma, [channels]);
    return {
      weight: add(identity, mul(reshape(gamma, [-1, 1, 1, 1]), sub(a.weight, b.weight))),
      bias: mul(gamma, sub(a.bias, b.bias)),
    };
  });
}

/** Options of {@link ConvMlp}. */
export interface ConvMlpOptions {
  width: number;
  hidden: number;
  /** Of the depthwise convolution. */
  kernel: Kernel;
  activation: Activation;
  generator: Generator | null;
}

/**
 * W₂·act(W₁·norm(depthwise(x)) + b₁) + b₂ at every location of a map (Vasu et al. 2023, "FastViT",
 * section 3.2.3). Weights start as N(0, 0.02²), biases as 0.
 */
export class ConvMlp extends Module {
  conv: ConvNorm;
  fc1: Conv2d;
  fc2: Conv2d;
  readonly activation: Activation;

  constructor({ width, hidden, kernel, activation, generator }: ConvMlpOptions) {
    super();
    this.conv = new ConvNorm({
      inChannels: width,
      outChannels: width,
      kernel,
      padding: samePadding(kernel),
      groups: width,
      generator,
    });
    const inner = { kernel: 1, generator };
    this.fc1 = new Conv2d({ inChannels: width, outChannels: hidden, ...inner });
    this.fc2 = new Conv2d({ inChannels: hidden, outChannels: width, ...inner });
    this.activation = activation;
    for (const { weight, bias } of [this.conv.conv, this.fc1, this.fc2]) {
      truncatedNormalInit(weight, generator, { std: 0.02 });
      zerosInit(bias);
    }
  }

  forward(x: Tensor): Tensor {
    const act = activations[this.activation];
    return this.fc2.forward(act(this.fc1.forward(this.conv.forward(x))));
  }
}

/** Options of {@link RepMixerBlock}. */
export interface RepMixerBlockOptions extends RepMixerOptions {
  hidden: number;
  /** Of the MLP's depthwise convolution. */
  mlpKernel: Kernel;
  activation: Activation;
  /** Probability by which training skips the MLP for a sample. Default 0. */
  dropPath?: number;
}

/** y = {@link RepMixer}(x), then y + γ·{@link ConvMlp}(y): a block that mixes neighbours only. */
export class RepMixerBlock extends Module {
  tokenMixer: RepMixer;
  mlp: ConvMlp;
  layerScale: MapScale;
  readonly #dropPath: number;

  constructor(options: RepMixerBlockOptions) {
    super();
    const { width, hidden, mlpKernel: kernel, activation, generator } = options;
    this.tokenMixer = new RepMixer(options);
    this.mlp = new ConvMlp({ width, hidden, kernel, activation, generator });
    this.layerScale = new MapScale({ width, value: options.layerScale });
    this.#dropPath = options.dropPath ?? 0;
  }

  /** [B, W, H, W′] → [B, W, H, W′] */
  forward(x: Tensor, generator?: Generator): Tensor {
    return scope(() => {
      const mixed = this.tokenMixer.forward(x);
      const branch = this.layerScale.forward(this.mlp.forward(mixed));
      const rate = this.training ? this.#dropPath : 0;
      return add(mixed, dropPath(branch, { rate, generator }));
    });
  }
}
