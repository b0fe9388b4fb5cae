import { div, mul } from '../ops/arithmetic.js';
import { ones, zeros } from '../ops/create.js';
import { linear, matmul } from '../ops/matrix.js';
import { bernoulli } from '../ops/random.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { fanInInit } from './init.js';
import { Module } from './module.js';
import { Parameter } from './parameter.js';

/** s·B·A: [out, r] · [r, in] → [out, in] */
export function lowRankProduct(b: Tensor, a: Tensor, scale: number): Tensor {
  return mul(matmul(b, a), scale);
}

/** Dropout of the input of a {@link LowRank}. */
export interface LowRankDropout {
  /** Fraction of the inputs that training sets to zero. */
  readonly rate: number;
  /** Samples them. */
  readonly generator: Generator;
}

/** Options of {@link LowRank}. */
export interface LowRankOptions {
  inFeatures: number;
  outFeatures: number;
  /** r: rows of A, columns of B. */
  rank: number;
  /** s: multiplier of the product. */
  scale: number;
  /** Default null: none. */
  dropout?: LowRankDropout | null;
  /** Initialises A; null leaves it zero, to be loaded. */
  generator: Generator | null;
}

/**
 * A trained change of low rank of a linear layer whose own weight is frozen (LoRA, Hu et al. 2021,
 * section 4.1): y + s·B·A·x with A [r, in] and B [out, r]. As in PEFT, A starts Kaiming-uniform with
 * a = √5, which is U(−1/√in, 1/√in), and B at zero, so that the layer computes the same at first.
 */
export class LowRank extends Module {
  a: Parameter;
  b: Parameter;
  readonly scale: number;
  readonly #dropout: LowRankDropout | null;

  constructor(options: LowRankOptions) {
    super();
    const { inFeatures, outFeatures, rank, scale, dropout = null, generator } = options;
    this.a = fanInInit(new Parameter(zeros([rank, inFeatures])), generator);
    this.b = new Parameter(zeros([outFeatures, rank]));
    this.scale = scale;
    this.#dropout = dropout;
  }

  /**
   * y + s·B·A·x: y [*, out], x [*, in].
   *
   * @param rows - The rows of B that y is of; default: all
   */
  addTo(y: Tensor, x: Tensor, rows: Tensor = this.b): Tensor {
    const reduced = linear(this.#dropped(x), this.a);
    const scaled = this.scale === 1 ? reduced : mul(reduced, this.scale);
    return linear(scaled, rows, null, { residual: y });
  }

  /** s·B·A, [out, in]: what the layer's weight is changed by. */
  product(): Tensor {
    return lowRankProduct(this.b, this.a, this.scale);
  }

  /** True while dropout sets inputs to zero. */
  get isDropping(): boolean {
    return this.training && this.#dropout !== null && this.#dropout.rate > 0;
  }

  #dropped(x: Tensor): Tensor {
    const dropout = this.#dropout;
    if (dropout === null || !this.isDropping) return x;
    const { dtype, device } = x;
    const keep = 1 - dropout.rate;
    const kept = bernoulli(ones(x.shape, { dtype, device }), keep, dropout.generator);
    return mul(x, div(kept, keep));
  }
}
