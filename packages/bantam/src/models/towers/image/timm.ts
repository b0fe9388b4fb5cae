import {
  copy_,
  gelu,
  Int8Weight,
  Linear,
  mlp,
  Module,
  mul,
  noGrad,
  PackedWeight,
  packLinears,
  reshape,
  scope,
  truncatedNormalInit,
  zerosInit,
  type Activation,
  type Conv2d,
  type FloatDType,
  type Generator,
  type LinearOptions,
  type MlpOpOptions,
  type Tensor,
} from '@bantam/torch';
import { flag, oneOf, setting } from '../../../base/schema.js';
import type { Prepackable } from '../../blocks/prepackable.js';

/** A linear layer as timm's transformers start it: weights N(0, 0.02²) cut at ±2, no bias. */
export function timmLinear(options: LinearOptions): Linear {
  const layer = new Linear(options);
  truncatedNormalInit(layer.weight, options.generator, { std: 0.02 });
  if (layer.bias !== null) zerosInit(layer.bias);
  return layer;
}

/** Starts a convolution as timm's ConvNeXt does: weights N(0, 0.02²) cut at ±2, no bias. */
export function timmConv<Conv extends Conv2d>(conv: Conv, generator: Generator | null): Conv {
  truncatedNormalInit(conv.weight, generator, { std: 0.02 });
  zerosInit(conv.bias);
  return conv;
}

/** Options of {@link TimmMlp}. */
export interface TimmMlpOptions {
  width: number;
  hidden: number;
  /** Default `gelu`. */
  activation?: Activation;
  generator: Generator | null;
}

/** W₂·act(W₁x + b₁) + b₂ (+ residual) under timm's names. */
export class TimmMlp extends Module implements Prepackable {
  fc1: Linear;
  fc2: Linear;
  readonly activation: Activation;

  constructor({ width, hidden, activation = 'gelu', generator }: TimmMlpOptions) {
    super();
    this.activation = activation;
    this.fc1 = timmLinear({ inFeatures: width, outFeatures: hidden, generator });
    this.fc2 = timmLinear({ inFeatures: hidden, outFeatures: width, generator });
  }

  /** True if {@link prepack} made it one operator. */
  get isPrepacked(): boolean {
    return this.fc1.weight instanceof PackedWeight;
  }

  forward(x: Tensor, options: Omit<MlpOpOptions, 'activation'> = {}): Tensor {
    return mlp(x, [this.fc1, this.fc2], { activation: this.activation, ...options });
  }

  /**
   * Multiplies the result by `scale` [width] through the weights, for a block that is then
   * prepacked. int8 layers stay unchanged.
   */
  fold(scale: Tensor): void {
    const { weight, bias } = this.fc2;
    if (weight instanceof Int8Weight || weight instanceof PackedWeight) return;
    noGrad(() => {
      scope(() => {
        copy_(weight, mul(weight, reshape(scale, [-1, 1])));
        if (bias !== null) copy_(bias, mul(bias, scale));
      });
    });
  }

  prepack(dtype: FloatDType): void {
    packLinears([this.fc1, this.fc2], dtype);
  }
}

/**
 * Projection from the pooled vector of one of timm's towers to the feature, in OpenCLIP; `own`: the
 * tower ends with timm's classifier, and nothing follows it.
 */
export interface TimmHeadConfig {
  readonly proj: 'linear' | 'mlp' | 'none' | 'own';
  readonly projBias: boolean;
}

/** Description of the setting `proj`. */
export const projDescription =
  'Projection to the feature: one matrix, or a hidden layer of twice its length with GELU.';

/** Description of the setting `projBias`. */
export const projBiasDescription = 'Whether the last matrix of the projection has a bias.';

/** Settings of the projection of towers that need one, with OpenCLIP's defaults. */
export const timmHeadEntries = {
  proj: setting(oneOf('linear', 'mlp'), 'linear', projDescription),
  projBias: setting(flag(), false, projBiasDescription),
};

/** Options of {@link TimmHead}. */
export interface TimmHeadOptions {
  config: TimmHeadConfig;
  /** Length of the pooled vector. */
  width: number;
  embedDim: number;
  generator: Generator | null;
}

/** The hidden layer and the projection, under timm's names. */
class HeadMlp extends Module {
  fc1: Linear;
  fc2: Linear;

  constructor({ config, width, embedDim, generator }: TimmHeadOptions) {
    super();
    this.fc1 = new Linear({ inFeatures: width, outFeatures: 2 * embedDim, generator });
    this.fc2 = new Linear({
      inFeatures: 2 * embedDim,
      outFeatures: embedDim,
      bias: config.projBias,
      generator,
    });
  }

  forward(x: Tensor): Tensor {
    return this.fc2.forward(gelu(this.fc1.forward(x)));
  }
}

/** From a tower's pooled vector [B, width] to the feature [B, embedDim], as OpenCLIP's `TimmModel`. */
export class TimmHead extends Module {
  /** Present for `proj: 'linear'`. */
  proj?: Linear;
  /** Present for `proj: 'mlp'`. */
  mlp?: HeadMlp;
  readonly #last: Linear | HeadMlp | null;

  constructor(options: TimmHeadOptions) {
    super();
    const { config, width, embedDim, generator } = options;
    if (config.proj === 'none' || config.proj === 'own') {
      this.#last = null;
    } else if (config.proj === 'mlp') {
      this.#last = this.mlp = new HeadMlp(options);
    } else {
      const bias = config.projBias;
      this.#last = this.proj = new Linear({
        inFeatures: width,
        outFeatures: embedDim,
        bias,
        generator,
      });
    }
  }

  forward(pooled: Tensor): Tensor {
    return this.#last === null ? pooled : this.#last.forward(pooled);
  }
}

/** FLOPs of the head for one image. */
export function timmHeadFlops(
  { proj }: TimmHeadConfig,
  { width, embedDim }: { width: number; embedDim: number },
): number {
  if (proj === 'none' || proj === 'own') return 0;
  return proj === 'linear' ? 2 * width * embedDim : 4 * embedDim * (width + embedDim);
}
