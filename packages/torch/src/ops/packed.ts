/** Fused layers for inference. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { sides, type PerSide } from './conv.js';
import { narrow } from './shape.js';

const packLinearOp = new Operator('bantam::pack_linear');
const linearOp = new Operator('bantam::linear_packed');
const packConvOp = new Operator('bantam::pack_panels');
const panelConvOp = new Operator('bantam::conv_panels');
const convOp = new Operator('bantam::fused_conv');
const addConvOp = new Operator('bantam::add_fused_conv_');
const mlpOp = new Operator('bantam::mlp_packed');

/** Rows that a linear layer's order is chosen for; others are multiplied as well. */
const usualRows = 1024;

/**
 * A weight [out, in] in the order of the fastest product of its type: in float32 that of Bantam's own
 * kernel, if the CPU has AVX2, else oneDNN's; where there is neither, the weight itself. Only
 * {@link linearPacked} and {@link mlpPacked} can read the result.
 */
export function packLinear(weight: Tensor): Tensor {
  return packLinearOp.tensor(weight, usualRows);
}

/** Outputs of a whole panel, at any level of instructions. */
const panelOutputs = 64;

/**
 * Some rows of a weight [out, inputs] of {@link packLinear}, as a view that {@link linearPacked} can read;
 * null where its order does not allow it.
 */
export function packedRows(
  packed: Tensor,
  [start, count]: readonly [number, number],
  inputs: number,
): Tensor | null {
  if (packed.rank !== 1 || start % panelOutputs !== 0 || count % panelOutputs !== 0) return null;
  return narrow(packed, 0, start * inputs, count * inputs);
}

/**
 * x·Wᵀ + b (+ residual) with a weight of {@link packLinear}, in whose type it computes. It has no
 * gradients.
 */
export function linearPacked(x: Tensor, { weight, bias }: FusedLayer, residual?: Tensor): Tensor {
  return linearOp.tensor(x, weight, bias, residual ?? null);
}

/** Weight and bias of a layer. */
export interface FusedLayer {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}

/** Inputs of {@link mlpPacked}: two layers, the activation's number, and what is added. */
export interface MlpPackedInput {
  readonly first: FusedLayer;
  readonly second: FusedLayer;
  readonly activation: number;
  readonly residual?: Tensor | undefined;
}

/**
 * W₂·act(W₁·x + b₁) + b₂ (+ residual), whose hidden activations stay in the caches. The
 * result has the residual's type, or the weights'.
 */
export function mlpPacked(x: Tensor, input: MlpPackedInput): Tensor {
  const { first, second, activation, residual } = input;
  const layers = [first.weight, first.bias, second.weight, second.bias] as const;
  return mlpOp.tensor(x, ...layers, residual ?? null, activation);
}

/** Geometry of a convolution. */
export interface ConvGeometry {
  readonly stride: PerSide;
  readonly padding: PerSide;
  readonly dilation: PerSide;
  readonly groups: number;
}

/**
 * The weight [out, in, kh, kw] of a convolution without groups, in the order of Bantam's own kernel; the
 * weight itself where that has none for its type or the CPU. Only {@link fusedConv} can read the result.
 */
export function packConv(weight: Tensor): Tensor {
  return packConvOp.tensor(weight);
}

/** A convolution's weight, perhaps one of {@link packConv}, and bias. */
export interface FusedConvLayer extends FusedLayer {
  /** Height and width of the kernel. Default: the weight's, which one of {@link packConv} has lost. */
  readonly kernel?: readonly number[];
}

function geometryOf({ stride, padding, dilation, groups }: ConvGeometry) {
  return [sides(stride), sides(padding), sides(dilation), groups] as const;
}

/** Operations that {@link fusedConv} fuses. */
export interface ConvEpilogue {
  /** Added to the result, which may take its memory. */
  residual?: Tensor | null;
  /**
   * End with max(·, 0), where there is no residual max(·, 10⁻³⁰·x): of oneDNN's two, the one that keeps
   * NaN. Default false.
   */
  relu?: boolean;
}

/**
 * A convolution with what follows it, for inference, of channels-last maps. It computes
 * in the weight's type. The result may be in the memory of the `residual`. It has no gradients.
 */
export function fusedConv(
  x: Tensor,
  { weight, bias, kernel = weight.shape.slice(2) }: FusedConvLayer,
  { residual = null, relu = false, ...geometry }: ConvGeometry & ConvEpilogue,
): Tensor {
  if (weight.rank === 1) {
    const [stride, padding, dilation] = geometryOf(geometry);
    return panelConvOp.tensor(x, weight, bias, residual, kernel, stride, padding, dilation, relu);
  }
  if (residual === null) return convOp.tensor(x, weight, bias, ...geometryOf(geometry), relu);
  addConvOp.inPlace(residual, x, weight, bias, ...geometryOf(geometry), relu);
  return residual;
}
