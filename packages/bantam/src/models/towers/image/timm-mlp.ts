import {
  Int8Weight,
  mlp,
  Module,
  mul,
  noGrad,
  PackedWeight,
  packLinears,
  reshape,
  scope,
  copy_,
  type Activation,
  type FloatDType,
  type Generator,
  type Linear,
  type LinearOpOptions,
  type Tensor,
} from '@bantam/torch';
import type { Packable } from '../../inference/inference.js';
import { timmLinear } from './timm-init.js';

/** Options of {@link TimmMlp}. */
export interface TimmMlpOptions {
  width: number;
  hidden: number;
  /** Default `gelu`. */
  activation?: Activation;
  generator: Generator | null;
}

/** W₂·act(W₁x + b₁) + b₂ (+ residual) under timm's names. */
export class TimmMlp extends Module implements Packable {
  fc1: Linear;
  fc2: Linear;
  readonly activation: Activation;

  constructor({ width, hidden, activation = 'gelu', generator }: TimmMlpOptions) {
    super();
    this.activation = activation;
    this.fc1 = timmLinear({ inFeatures: width, outFeatures: hidden, generator });
    this.fc2 = timmLinear({ inFeatures: hidden, outFeatures: width, generator });
  }

  /** Whether {@link pack} made it one operator. */
  get isPacked(): boolean {
    return this.fc1.weight instanceof PackedWeight;
  }

  forward(x: Tensor, { residual }: LinearOpOptions = {}): Tensor {
    return mlp(x, [this.fc1, this.fc2], { activation: this.activation, residual });
  }

  /**
   * Multiplies the result by `scale` [width] through the weights, for a block that is then packed.
   * Layers in int8 stay as they are.
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

  pack(dtype: FloatDType): void {
    packLinears([this.fc1, this.fc2], dtype);
  }
}
