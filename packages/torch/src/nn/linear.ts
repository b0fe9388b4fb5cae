import { add } from '../ops/arithmetic.js';
import { zeros } from '../ops/create.js';
import { linear, type LinearOpOptions } from '../ops/matrix.js';
import { linearPacked } from '../ops/packed.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { fanInInit } from './init.js';
import type { LowRank } from './low-rank.js';
import { Module } from './module.js';
import { PackedWeight } from './inference-weights.js';
import { Parameter } from './parameter.js';

/** Options of {@link Linear}. */
export interface LinearOptions {
  inFeatures: number;
  outFeatures: number;
  /** Default true. */
  bias?: boolean;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** x·Wᵀ + b: [*, inFeatures] → [*, outFeatures]; W and b start as U(−1/√in, 1/√in). */
export class Linear extends Module {
  weight: Parameter;
  bias: Parameter | null;
  /** Trained change of a frozen weight; null: none. */
  lora: LowRank | null = null;

  constructor({ inFeatures, outFeatures, bias = true, generator }: LinearOptions) {
    super();
    this.weight = fanInInit(new Parameter(zeros([outFeatures, inFeatures])), generator);
    this.bias = bias
      ? fanInInit(new Parameter(zeros([outFeatures])), generator, { weight: this.weight })
      : null;
  }

  /** The weight that products are made with: its own, plus the change if there is one. */
  get effectiveWeight(): Tensor {
    return this.lora === null ? this.weight : add(this.weight, this.lora.product());
  }

  forward(x: Tensor, { residual }: LinearOpOptions = {}): Tensor {
    const { weight, bias, lora } = this;
    if (!(weight instanceof PackedWeight)) {
      const y = linear(x, weight, bias, { residual });
      return lora === null ? y : lora.addTo(y, x);
    }
    return linearPacked(x, { weight: weight.packed, bias }, residual);
  }
}
