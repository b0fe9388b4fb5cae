import { gelu, quickGelu, relu } from '../ops/neural.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/**
 * An activation by name: `gelu` x·Φ(x), `gelu-tanh` its tanh approximation (Hendrycks and Gimpel
 * 2016), `quick-gelu` x·σ(1.702x), `relu` max(x, 0).
 */
export type Activation = 'gelu' | 'gelu-tanh' | 'quick-gelu' | 'relu';

/** The functions behind the names. */
export const activations: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  gelu: (x) => gelu(x),
  'gelu-tanh': (x) => gelu(x, { approximate: 'tanh' }),
  'quick-gelu': quickGelu,
  relu,
};

/** The activations' numbers in the operator `bantam::mlp`. */
export const activationCode: Readonly<Record<Activation, number>> = {
  gelu: 1,
  'gelu-tanh': 2,
  'quick-gelu': 3,
  relu: 4,
};

/** x·Φ(x), exact or by the tanh approximation. */
export class GELU extends Module {
  readonly approximate: 'none' | 'tanh';

  constructor({ approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {}) {
    super();
    this.approximate = approximate;
  }

  forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate });
  }
}

/** x·σ(1.702x) */
export class QuickGELU extends Module {
  forward(x: Tensor): Tensor {
    return quickGelu(x);
  }
}
