import { Operator } from '../operator.js';
import { mlpInt8 } from '../ops/int8.js';
import type { LinearOpOptions } from '../ops/matrix.js';
import { mlpPacked } from '../ops/packed.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { activationCode, type Activation } from './activation.js';
import { Int8Weight } from './int8-weight.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { PackedWeight } from './packed-weight.js';

const mlpOp = new Operator('bantam::mlp');

/** Options of {@link Mlp}. */
export interface MlpOptions {
  width: number;
  hidden: number;
  /** Default `gelu`. */
  activation?: Activation;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** W₂·act(W₁·x + b₁) + b₂: [*, width] → [*, hidden] → [*, width], the second half of a block. */
export class Mlp extends Module {
  cFc: Linear;
  cProj: Linear;
  readonly activation: Activation;

  constructor({ width, hidden, activation = 'gelu', generator }: MlpOptions) {
    super();
    this.cFc = new Linear({ inFeatures: width, outFeatures: hidden, generator });
    this.cProj = new Linear({ inFeatures: hidden, outFeatures: width, generator });
    this.activation = activation;
  }

  /** One operator, so that what stands between the two products need not go through memory. */
  forward(x: Tensor, { residual }: LinearOpOptions = {}): Tensor {
    const { cFc, cProj } = this;
    const code = activationCode[this.activation];
    const [first, second] = [cFc.weight, cProj.weight];
    if (first instanceof Int8Weight && second instanceof Int8Weight) {
      return mlpInt8(x, {
        first: { weight: first, bias: cFc.bias },
        second: { weight: second, bias: cProj.bias },
        activation: code,
        residual,
      });
    }
    if (first instanceof PackedWeight && second instanceof PackedWeight) {
      return mlpPacked(x, {
        first: { weight: first.packed, bias: cFc.bias },
        second: { weight: second.packed, bias: cProj.bias },
        activation: code,
        residual,
      });
    }
    return mlpOp.tensor(x, cFc.weight, cFc.bias, cProj.weight, cProj.bias, residual, code);
  }
}
