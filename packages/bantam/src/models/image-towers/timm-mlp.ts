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
import { timmLinear } from './timm-init.js';

/** Options of {@link TimmMlp}. */
export interface TimmMlpOptions {
  width: number;
  hidden: number;
  generator: Generator | null;
}

/** W₂·GELU(W₁x + b₁) + b₂ (+ residual) under timm's names. */
export class TimmMlp extends Module {
  fc1: Linear;
  fc2: Linear;

  constructor({ width, hidden, generator }: TimmMlpOptions) {
    super();
    this.fc1 = timmLinear({ inFeatures: width, outFeatures: hidden, generator });
    this.fc2 = timmLinear({ inFeatures: hidden, outFeatures: width, generator });
  }

  /** Whether {@link packScaled} took place. */
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
   * One operator for inference in `dtype`, whose result is multiplied by `scale` [width]. Layers in
   * int8 stay as they are, and their result is not multiplied.
   */
  packScaled(dtype: FloatDType, scale: Tensor): void {
    const { fc1, fc2 } = this;
    if (fc1.weight instanceof Int8Weight || fc2.weight instanceof Int8Weight) return;
    noGrad(() => {
      scope(() => {
        copy_(fc2.weight, mul(fc2.weight, reshape(scale, [-1, 1])));
        if (fc2.bias !== null) copy_(fc2.bias, mul(fc2.bias, scale));
      });
    });
    packLinears([fc1, fc2], dtype);
  }
}
