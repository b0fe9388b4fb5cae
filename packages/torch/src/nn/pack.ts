import type { FloatDType } from '../dtype.js';
import { noGrad } from '../autograd.js';
import { fusedConv, packLinear, type ConvEpilogue } from '../ops/packed.js';
import { contiguous, to } from '../ops/shape.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { MultiheadAttention } from './attention.js';
import type { Conv2d } from './conv.js';
import { foldBatchNorm } from './fold.js';
import { Int8Weight } from './int8-weight.js';
import type { Linear } from './linear.js';
import type { BatchNorm2d } from './norm.js';
import { PackedWeight } from './packed-weight.js';
import { Parameter } from './parameter.js';

/** Options of {@link packConvolution}. */
export interface PackConvolutionOptions {
  /** What it is to compute in. */
  dtype: FloatDType;
  /** The batch norm behind it, which it then does as well, by its running statistics. Default null. */
  norm?: BatchNorm2d | null;
}

/**
 * Packs a convolution in place, for inference on the CPU by {@link fusedConv}: its weight in another
 * type, with a batch norm merged into it, see {@link foldBatchNorm} and {@link normedConv}. The given
 * weight is freed.
 */
export function packConvolution(
  conv: Conv2d,
  { dtype, norm = null }: PackConvolutionOptions,
): void {
  const { weight: given, bias: givenBias } = conv;
  if (given instanceof PackedWeight) return;
  scope(() => {
    const { weight, bias } =
      norm === null ? { weight: given, bias: givenBias } : foldBatchNorm(given, givenBias, norm);
    conv.weight = packed(weight, dtype, contiguous);
    if (bias !== null && bias !== givenBias) {
      conv.bias = new Parameter(bias, { requiresGrad: false });
      givenBias?.dispose();
    }
    given.dispose();
  });
}

/**
 * Batch norm of the convolution of x, plus `residual`, through max(·, 0) where asked for. Of a
 * convolution that {@link packConvolution} packed with its batch norm it is one operator, and its
 * result takes the memory of `residual`.
 */
export function normedConv(
  x: Tensor,
  [conv, norm]: readonly [Conv2d, BatchNorm2d],
  epilogue: ConvEpilogue = {},
): Tensor {
  const { weight, bias } = conv;
  if (!(weight instanceof PackedWeight)) return norm.forward(conv.forward(x), epilogue);
  const { stride, padding, dilation, groups } = conv;
  const places = { stride, padding, dilation, groups };
  return fusedConv(x, { weight: weight.packed, bias }, { ...places, ...epilogue });
}

/**
 * Packs linear layers and attentions in place, for inference on the CPU: see {@link packLinear}. Those
 * in int8, and packed ones, stay as they are.
 */
export function packLinears(
  layers: readonly (Linear | MultiheadAttention)[],
  dtype: FloatDType,
): void {
  for (const layer of layers) {
    if (layer instanceof MultiheadAttention) {
      layer.inProjWeight = packWeight(layer.inProjWeight, dtype, packLinear);
    } else {
      layer.weight = packWeight(layer.weight, dtype, packLinear);
    }
  }
}

/** A weight packed in a type, which frees the given one; one in int8 or packed already stays as it is. */
export function packWeight(
  given: Parameter,
  dtype: FloatDType,
  pack: (weight: Tensor) => Tensor,
): Parameter {
  if (given instanceof Int8Weight || given instanceof PackedWeight) return given;
  const weight = packed(given, dtype, pack);
  given.dispose();
  return weight;
}

function packed(weight: Tensor, dtype: FloatDType, pack: (weight: Tensor) => Tensor): PackedWeight {
  return scope(() => noGrad(() => new PackedWeight(to(weight, { dtype }), pack)));
}
