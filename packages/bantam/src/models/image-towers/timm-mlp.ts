import {
  activationCode,
  activations,
  Int8Weight,
  mlpPacked,
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
import type { Packable } from '../pack.js';
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
    const { fc1, fc2 } = this;
    const [first, second] = [fc1.weight, fc2.weight];
    if (!(first instanceof PackedWeight && second instanceof PackedWeight)) {
      return fc2.forward(activations[this.activation](fc1.forward(x)), { residual });
    }
    return mlpPacked(x, {
      first: { weight: first.packed, bias: fc1.bias },
      second: { weight: second.packed, bias: fc2.bias },
      activation: activationCode[this.activation],
      residual,
    });
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
