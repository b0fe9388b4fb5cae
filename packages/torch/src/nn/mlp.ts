import { Operator } from '../operator.js';
import { add, mul } from '../ops/arithmetic.js';
import { mlpInt8 } from '../ops/int8.js';
import type { LinearOpOptions } from '../ops/matrix.js';
import { mlpPacked } from '../ops/packed.js';
import { reshape } from '../ops/shape.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { activationCode, activations, type Activation } from './activation.js';
import { Int8Weight } from './inference-weights.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { PackedWeight } from './inference-weights.js';

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

  forward(x: Tensor, { residual }: LinearOpOptions = {}): Tensor {
    return mlp(x, [this.cFc, this.cProj], { activation: this.activation, residual });
  }
}

/** Options of {@link mlp}. */
export interface MlpOpOptions extends LinearOpOptions {
  readonly activation: Activation;
  /**
   * Number [out] for each output, by which the second layer is multiplied (layer scale). In training no map
   * is kept for its gradient.
   */
  readonly scale?: Tensor | undefined;
}

/**
 * W₂·act(W₁·x + b₁) + b₂ (+ residual) of two layers in one operator, so that the hidden activations
 * need not go through memory, and are not kept twice for the gradient; with trained changes of low rank
 * layer by layer.
 */
export function mlp(
  x: Tensor,
  [first, second]: readonly [Linear, Linear],
  { activation, residual, scale }: MlpOpOptions,
): Tensor {
  if (scale !== undefined) {
    if (isTrainable(first) && isTrainable(second)) {
      const weight = mul(second.weight, reshape(scale, [-1, 1]));
      const bias = second.bias === null ? null : mul(second.bias, scale);
      const code = activationCode[activation];
      return mlpOp.tensor(x, first.weight, first.bias, weight, bias, residual, code);
    }
    const scaled = mul(mlp(x, [first, second], { activation }), scale);
    return residual === undefined ? scaled : add(residual, scaled);
  }
  if (first.lora !== null || second.lora !== null) {
    return second.forward(activations[activation](first.forward(x)), { residual });
  }
  const code = activationCode[activation];
  const [one, other] = [first.weight, second.weight];
  if (one instanceof Int8Weight && other instanceof Int8Weight) {
    return mlpInt8(x, {
      first: { weight: one, bias: first.bias },
      second: { weight: other, bias: second.bias },
      activation: code,
      residual,
    });
  }
  if (one instanceof PackedWeight && other instanceof PackedWeight) {
    return mlpPacked(x, {
      first: { weight: one.packed, bias: first.bias },
      second: { weight: other.packed, bias: second.bias },
      activation: code,
      residual,
    });
  }
  return mlpOp.tensor(x, one, first.bias, other, second.bias, residual, code);
}

/** True for a layer with nothing but a weight in its usual order. */
function isTrainable({ weight, lora }: Linear): boolean {
  return lora === null && !(weight instanceof Int8Weight) && !(weight instanceof PackedWeight);
}
