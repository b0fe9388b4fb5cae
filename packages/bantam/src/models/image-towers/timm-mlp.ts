import {
  activationCode,
  gelu,
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
  generator: Generator | null;
}

/** W₂·GELU(W₁x + b₁) + b₂ (+ residual) under timm's names. */
export class TimmMlp extends Module implements Packable {
  fc1: Linear;
  fc2: Linear;

  constructor({ width, hidden, generator }: TimmMlpOptions) {
    super();
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
      return fc2.forward(gelu(fc1.forward(x)), { residual });
    }
    return mlpPacked(x, {
      first: { weight: first.packed, bias: fc1.bias },
      second: { weight: second.packed, bias: fc2.bias },
      activation: activationCode.gelu,
      residual,
    });
  }

  /**
   * Multiplies the result by `scale` [width] through the weights, for a block that is then packed.
   * Layers in int8 stay as they are.
   */
  fold(scale: Tensor): void {
    if (this.#isFixed) return;
    const { weight, bias } = this.fc2;
    noGrad(() => {
      scope(() => {
        copy_(weight, mul(weight, reshape(scale, [-1, 1])));
        if (bias !== null) copy_(bias, mul(bias, scale));
      });
    });
  }

  pack(dtype: FloatDType): void {
    if (!this.#isFixed) packLinears([this.fc1, this.fc2], dtype);
  }

  /** Whether the weights have a form for inference already. */
  get #isFixed(): boolean {
    const weights = [this.fc1.weight, this.fc2.weight];
    return weights.some((weight) => weight instanceof Int8Weight || weight instanceof PackedWeight);
  }
}
