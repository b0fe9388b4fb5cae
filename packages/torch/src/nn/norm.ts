import { noGrad } from '../autograd.js';
import { isRerunning } from '../checkpoint.js';
import { batchNorm, batchNormOverParts } from '../ops/batch-norm.js';
import { ones, zeros } from '../ops/create.js';
import { add_ } from '../ops/in-place.js';
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';
import { Parameter, TensorBuffer } from './parameter.js';

const layerNormOp = new Operator('bantam::layer_norm');

/** Options of {@link LayerNorm}. */
export interface LayerNormLayerOptions {
  width: number;
  /** Default 1e-5. */
  eps?: number;
}

/**
 * (x − mean)/√(variance + eps)·weight + bias over the last dimension (Ba et al. 2016).
 *
 * Under autocast it computes and returns the type of its input, as PyTorch does on the CPU.
 */
export class LayerNorm extends Module {
  weight: Parameter;
  bias: Parameter;
  readonly eps: number;

  constructor({ width, eps = 1e-5 }: LayerNormLayerOptions) {
    super();
    this.weight = new Parameter(ones([width]));
    this.bias = new Parameter(zeros([width]));
    this.eps = eps;
  }

  forward(x: Tensor): Tensor {
    return this.branch(x).normed;
  }

  /**
   * The normalised x and x itself for a residual connection: taking it from here lets the backward
   * pass add both gradients in one sweep over memory.
   */
  branch(x: Tensor): { normed: Tensor; residual: Tensor } {
    const [normed, residual] = layerNormOp.tensors(x, this.weight, this.bias, this.eps) as [
      Tensor,
      Tensor,
    ];
    return { normed, residual };
  }
}

/** Options of {@link BatchNorm2d}. */
export interface BatchNorm2dLayerOptions {
  channels: number;
  /** Default 1e-5. */
  eps?: number;
  /** Weight of the newest batch in the running statistics. Default 0.1. */
  momentum?: number;
}

/** Options of {@link BatchNorm2d.forward}: operations after the normalisation. */
export interface BatchNorm2dForwardOptions {
  /** Added to the result, of its shape. Default null. */
  residual?: Tensor | null;
  /** End with max(·, 0). Default false. */
  relu?: boolean;
}

/**
 * (x − mean)/√(variance + eps)·weight + bias per channel of [N, C, H, W] (Ioffe and Szegedy 2015):
 * by the batch's statistics in training, by their running averages in evaluation.
 */
export class BatchNorm2d extends Module {
  weight: Parameter;
  bias: Parameter;
  runningMean: TensorBuffer;
  runningVar: TensorBuffer;
  numBatchesTracked: TensorBuffer;
  readonly eps: number;
  readonly momentum: number;
  /**
   * Σ of a vector over the processes that have a part of the batch each, with gradients; null: this
   * process has all of it.
   */
  sumOverParts: ((x: Tensor) => Tensor) | null = null;

  constructor({ channels, eps = 1e-5, momentum = 0.1 }: BatchNorm2dLayerOptions) {
    super();
    this.weight = new Parameter(ones([channels]));
    this.bias = new Parameter(zeros([channels]));
    this.runningMean = new TensorBuffer(zeros([channels]));
    this.runningVar = new TensorBuffer(ones([channels]));
    this.numBatchesTracked = new TensorBuffer(zeros([], { dtype: 'int64' }));
    this.eps = eps;
    this.momentum = momentum;
  }

  forward(x: Tensor, { residual = null, relu = false }: BatchNorm2dForwardOptions = {}): Tensor {
    const { training } = this;
    // A batch counts once, also where a checkpoint runs twice.
    const counted = training && !isRerunning();
    if (counted) noGrad(() => add_(this.numBatchesTracked, 1));
    const { weight, bias, runningMean, runningVar, eps, sumOverParts: sumOver } = this;
    const momentum = counted ? this.momentum : 0;
    const options = { weight, bias, runningMean, runningVar, momentum, eps, residual, relu };
    return training && sumOver !== null
      ? batchNormOverParts(x, { ...options, sumOver })
      : batchNorm(x, { ...options, training });
  }
}
