/** Conversion of trained modules for inference. */
import { isGradEnabled, noGrad } from '../autograd.js';
import type { FloatDType } from '../dtype.js';
import { add, div, mul, sqrt, sub } from '../ops/arithmetic.js';
import { dropNormed } from '../ops/batch-norm.js';
import { fusedConv, hasPanels, packLinear, packPanels, type ConvEpilogue } from '../ops/packed.js';
import { contiguous, reshape, to } from '../ops/shape.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { MultiheadAttention } from './attention.js';
import { Conv2d } from './conv.js';
import { Int8Weight, PackedWeight } from './inference-weights.js';
import { Linear } from './linear.js';
import type { Module } from './module.js';
import type { BatchNorm2d } from './norm.js';
import { converted, Parameter } from './parameter.js';

/**
 * Keeps the weights of the linear layers, attentions and ungrouped convolutions in a module in another type, in
 * place. What autocast to that type would convert in each pass is converted once; results under it
 * stay the same bit for bit. Biases, norms and embeddings keep their type. The module is then for
 * inference only.
 *
 * @param included - Which layers, by their names in `namedModules()`. Default: all.
 */
export function narrowWeights(
  module: Module,
  dtype: FloatDType,
  included: (name: string) => boolean = () => true,
): void {
  const narrowed = (weight: Parameter): Parameter =>
    weight instanceof Int8Weight || weight instanceof PackedWeight
      ? weight
      : converted(weight, { dtype });
  for (const [name, layer] of module.namedModules()) {
    if (!included(name)) continue;
    // Convolutions by groups may compute in float32 where that is faster.
    const product = layer instanceof Linear || (layer instanceof Conv2d && layer.groups === 1);
    if (product) layer.weight = narrowed(layer.weight);
    else if (layer instanceof MultiheadAttention) layer.inProjWeight = narrowed(layer.inProjWeight);
  }
}

/**
 * Puts the weights of the linear layers in a module, those of its attentions included, into int8, in
 * place: see {@link quantizeRows} and {@link linearInt8}. The float weights are freed. The module is
 * then for inference only.
 *
 * @param included - Which layers, by their names in `namedModules()`. Default: all.
 * @returns The names.
 */
export function quantizeLinears(
  module: Module,
  included: (name: string) => boolean = () => true,
): string[] {
  const names: string[] = [];
  for (const [name, layer] of module.namedModules()) {
    if (!included(name)) continue;
    if (layer instanceof MultiheadAttention) {
      layer.inProjWeight = quantized(layer.inProjWeight, 3);
    } else if (layer instanceof Linear) {
      layer.weight = quantized(layer.weight, 1);
    } else {
      continue;
    }
    names.push(name);
  }
  return names;
}

function quantized(weight: Parameter, parts: number): Parameter {
  if (weight instanceof Int8Weight) return weight;
  const result = new Int8Weight(weight, { parts });
  weight.dispose();
  return result;
}

/** Weight [out, in/groups, kh, kw] and bias [out] of a convolution. */
export interface ConvWeights {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/**
 * The convolution that computes what a convolution followed by batch norm computes in evaluation:
 * W′ = W·γ/√(σ² + ε), b′ = β + (b − μ)·γ/√(σ² + ε) (Ding et al. 2021, "RepVGG", eq. 3). The result
 * carries no gradients.
 *
 * @param bias - Of the convolution; null: none.
 */
export function foldBatchNorm(
  weight: Tensor,
  bias: Tensor | null,
  norm: Pick<BatchNorm2d, 'weight' | 'bias' | 'runningMean' | 'runningVar' | 'eps'>,
): ConvWeights {
  return noGrad(() => {
    const scale = div(norm.weight, sqrt(add(norm.runningVar, norm.eps)));
    const centre = bias === null ? norm.runningMean : sub(norm.runningMean, bias);
    return {
      weight: mul(weight, reshape(scale, [-1, 1, 1, 1])),
      bias: sub(norm.bias, mul(centre, scale)),
    };
  });
}

/** Options of {@link packConvolution}. */
export interface PackConvolutionOptions {
  /** Dtype of the convolution. */
  dtype: FloatDType;
  /** Following batch norm, to be fused by its running statistics. Default null. */
  norm?: BatchNorm2d | null;
}

/**
 * Prepacks a convolution in place, for inference on the CPU by {@link fusedConv}: its weight in another
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
    const { groups } = conv;
    // In bfloat16 the panels have two channels at a time; pixels have three.
    const isOdd = groups === 1 && weight.dim(1) % 2 === 1 && hasPanels(dtype);
    conv.weight = packed(weight, isOdd ? 'float32' : dtype, groups === 1 ? packPanels : contiguous);
    if (bias !== null && bias !== givenBias) {
      conv.bias = new Parameter(bias, { requiresGrad: false });
      givenBias?.dispose();
    }
    given.dispose();
  });
}

/**
 * Batch norm of the convolution of x, plus `residual`, through max(·, 0) if asked. Of a
 * convolution that {@link packConvolution} packed with its batch norm it is one operator, and its
 * result may take the memory of `residual`.
 */
export function normedConv(
  x: Tensor,
  [conv, norm]: readonly [Conv2d, BatchNorm2d],
  epilogue: ConvEpilogue = {},
): Tensor {
  const { weight, bias } = conv;
  if (!(weight instanceof PackedWeight)) {
    const y = conv.forward(x);
    if (isGradEnabled()) dropNormed(y, x);
    return norm.forward(y, epilogue);
  }
  const { stride, padding, dilation, groups } = conv;
  const geometry = { stride, padding, dilation, groups };
  const layer = { weight: weight.packed, bias, kernel: weight.shape.slice(2) };
  return fusedConv(x, layer, { ...geometry, ...epilogue });
}

/**
 * Prepacks linear layers and attentions in place, for inference on the CPU: see {@link packLinear}. Those
 * in int8, and packed ones, stay unchanged.
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

/** A weight packed in a type, which frees the given one; one in int8 or packed already stays unchanged. */
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
