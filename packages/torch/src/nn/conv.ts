import { at } from '../at.js';
import { zeros } from '../ops/create.js';
import { depthwiseConv2d } from '../ops/conv.js';
import { conv2d, conv2dFloat32, type PerSide } from '../ops/conv.js';
import { fusedConv } from '../ops/packed.js';
import { slice } from '../ops/shape.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { fanInInit } from './init.js';
import { Module } from './module.js';
import { PackedWeight } from './inference-weights.js';
import { Parameter } from './parameter.js';

/** Options of {@link Conv2d}; a pair is (vertical, horizontal). */
export interface Conv2dLayerOptions {
  inChannels: number;
  outChannels: number;
  kernel: PerSide;
  /** Default 1. */
  stride?: PerSide;
  /** Zeros around the input. Default 0. */
  padding?: PerSide;
  /** Default 1. */
  dilation?: PerSide;
  /** Default 1; inChannels makes it depthwise. */
  groups?: number;
  /** Default true. */
  bias?: boolean;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Cross-correlation [N, C, H, W] → [N, out, H′, W′]; W and b start as U(−1/√fanIn, 1/√fanIn). */
export class Conv2d extends Module {
  weight: Parameter;
  bias: Parameter | null;
  readonly stride: PerSide;
  readonly padding: PerSide;
  readonly dilation: PerSide;
  readonly groups: number;

  constructor(options: Conv2dLayerOptions) {
    super();
    const { inChannels, outChannels, kernel, groups = 1, bias = true, generator } = options;
    const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel;
    const shape = [outChannels, inChannels / groups, height, width];
    this.weight = fanInInit(new Parameter(zeros(shape)), generator);
    this.bias = bias
      ? fanInInit(new Parameter(zeros([outChannels])), generator, { weight: this.weight })
      : null;
    this.stride = options.stride ?? 1;
    this.padding = options.padding ?? 0;
    this.dilation = options.dilation ?? 1;
    this.groups = groups;
  }

  forward(x: Tensor): Tensor {
    const { weight, bias, stride, padding, dilation, groups } = this;
    if (weight instanceof PackedWeight) {
      return fusedConv(x, { weight: weight.packed, bias, kernel: weight.shape.slice(2) }, this);
    }
    if (this.#isDepthwise()) return depthwiseConv2d(x, weight, bias);
    if (isStridedPoint(weight, stride, padding)) {
      const sampled = slice(slice(x, { dim: 2, step: stride }), { dim: 3, step: stride });
      return conv2d(sampled, weight, { bias, groups });
    }
    const options = { bias, stride, padding, dilation, groups };
    return isFasterInFloat32(x, weight, groups)
      ? conv2dFloat32(x, weight, options)
      : conv2d(x, weight, options);
  }

  /** True if each channel has a kernel of its own and the map keeps its size. */
  #isDepthwise(): boolean {
    const [outChannels, perGroup, ...kernel] = this.weight.shape;
    const { stride, padding, dilation, groups } = this;
    const around = typeof padding === 'number' ? [padding, padding] : padding;
    return (
      perGroup === 1 &&
      outChannels === groups &&
      [stride, dilation].flat().every((step) => step === 1) &&
      kernel.every((length, axis) => length === 2 * at(around, axis) + 1)
    );
  }
}

/**
 * A 1×1 kernel reads every stride-th location only. With few channels in channels-last memory, libtorch
 * 2.13 writes beyond its memory in the weight gradient of such a convolution, but not of one whose
 * stride is 1.
 */
function isStridedPoint({ shape }: Tensor, stride: PerSide, padding: PerSide): stride is number {
  return (
    shape[2] === 1 && shape[3] === 1 && typeof stride === 'number' && stride > 1 && padding === 0
  );
}

/**
 * Depthwise convolutions that libtorch computes, under autocast: on one thread of a Sapphire Rapids, forward and backward took
 * up to three times as long in bfloat16 as in float32, and with a stride of 2 up to forty times.
 */
function isFasterInFloat32({ device }: Tensor, { shape, dtype }: Tensor, groups: number): boolean {
  return device === 'cpu' && dtype === 'float32' && groups > 1 && shape[1] === 1;
}
