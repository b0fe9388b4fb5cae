/** Fused layers for inference. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';
import { sides, type PerSide } from './conv.js';

const packLinearOp = new Operator('bantam::pack_linear');
const linearOp = new Operator('bantam::linear_packed');
const convOp = new Operator('bantam::fused_conv');
const addConvOp = new Operator('bantam::add_fused_conv_');
const mlpOp = new Operator('bantam::mlp_packed');

/** Rows that a linear layer's order is chosen for; others are multiplied as well. */
const usualRows = 1024;

/**
 * A weight [out, in] in oneDNN's order, in its own type; where oneDNN has no product of that type, the
 * weight itself. Only {@link linearPacked} and {@link mlpPacked} can read the result.
 */
export function packLinear(weight: Tensor): Tensor {
  return packLinearOp.tensor(weight, usualRows);
}

/** x·Wᵀ + b with a weight of {@link packLinear}, in whose type it computes. It has no gradients. */
export function linearPacked(x: Tensor, { weight, bias }: FusedLayer): Tensor {
  return linearOp.tensor(x, weight, bias);
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

function geometryOf({ stride, padding, dilation, groups }: ConvGeometry) {
  return [sides(stride), sides(padding), sides(dilation), groups] as const;
}

/** Operations that {@link fusedConv} fuses. */
export interface ConvEpilogue {
  /** Added to the result; its memory becomes the result's, where there is one. */
  residual?: Tensor | null;
  /**
   * End with max(·, 0), where there is no residual max(·, 10⁻³⁰·x): of oneDNN's two, the one that keeps
   * NaN. Default false.
   */
  relu?: boolean;
}

/**
 * A convolution with what follows it, for inference, of channels-last maps. It computes
 * in the weight's type. The result is in the memory of the `residual`, where there is one. It has
 * no gradients.
 */
export function fusedConv(
  x: Tensor,
  { weight, bias }: FusedLayer,
  { residual = null, relu = false, ...geometry }: ConvGeometry & ConvEpilogue,
): Tensor {
  if (residual === null) return convOp.tensor(x, weight, bias, ...geometryOf(geometry), relu);
  addConvOp.inPlace(residual, x, weight, bias, ...geometryOf(geometry), relu);
  return residual;
}
