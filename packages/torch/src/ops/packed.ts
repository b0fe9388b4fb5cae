/** Fused layers for inference. */
import type { FloatDType } from '../dtype.js';
import { Operator } from '../operator.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { sides, type PerSide } from './conv.js';
import { zeros } from './create.js';
import { cat, narrow, transpose } from './shape.js';

const packLinearOp = new Operator('bantam::pack_linear');
const linearOp = new Operator('bantam::linear_packed');
const packPanelsOp = new Operator('bantam::pack_panels');
const panelConvOp = new Operator('bantam::conv_panels');
const convOp = new Operator('bantam::fused_conv');
const addConvOp = new Operator('bantam::add_fused_conv_');
const mlpOp = new Operator('bantam::mlp_packed');
const averagePoolOp = new Operator('bantam::average_pool');
const attentionPoolOp = new Operator('bantam::attention_pool');

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
 * A weight [out, in], or [out, in, kh, kw] of a convolution without groups, in the order of Bantam's own
 * kernel; the weight itself where that has none for its type or the CPU. Only {@link fusedConv} and
 * {@link linearPacked} can read the result.
 */
export function packPanels(weight: Tensor): Tensor {
  return packPanelsOp.tensor(weight);
}

/** True if the CPU has Bantam's own kernel for weights of that type. */
export function hasPanels(dtype: FloatDType): boolean {
  return scope(() => packPanels(zeros([panelOutputs, panelOutputs], { dtype })).rank === 1);
}

/** A convolution's weight, perhaps one of {@link packPanels}, and bias. */
export interface FusedConvLayer extends FusedLayer {
  /** Height and width of the kernel. Default: the weight's, which one of {@link packPanels} has lost. */
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

/**
 * Means over squares of a map [N, C, H, W], for inference: [N, C, ⌊H/side⌋, ⌊W/side⌋]. Fast for
 * channels-last maps. It has no gradients.
 */
export function averagePool(x: Tensor, side: number): Tensor {
  return averagePoolOp.tensor(x, side);
}

/**
 * The heads of a weight [heads·d, in], each by {@link packPanels}, one behind the other; `transposed`: each as
 * [in, d]. Only {@link attentionPool} can read the result.
 */
export function packHeads(
  weight: Tensor,
  { heads, transposed = false }: { heads: number; transposed?: boolean },
): Tensor {
  const depth = weight.dim(0) / heads;
  const parts = Array.from({ length: heads }, (_, head) => {
    const rows = narrow(weight, 0, head * depth, depth);
    return packPanels(transposed ? transpose(rows, 0, 1) : rows);
  });
  return cat(parts);
}

/** Weights of {@link attentionPool}. */
export interface AttentionPoolInput {
  /** [L + 1, W] */
  readonly positions: Tensor;
  /** The weight by {@link packPanels}. */
  readonly query: FusedLayer;
  /** By {@link packHeads}, transposed. */
  readonly keys: Tensor;
  /** The weight by {@link packHeads}. */
  readonly values: FusedLayer;
  readonly heads: number;
}

/** True if {@link attentionPool} takes weights of a type [width, width]. */
export function packsAttentionPool(width: number, heads: number, dtype: FloatDType): boolean {
  const lanes = 16;
  return width % panelOutputs === 0 && (width / heads) % lanes === 0 && hasPanels(dtype);
}

/**
 * The attention pooling of a map's locations [B, L, W] whose mean is the only query (Radford et al. 2021,
 * section 2.4): softmax(q·kᵀ/√d)·v per head over the mean and all locations, each with its position, heads
 * joined: [B, W] in the weights' type, before the last projection. It has no gradients.
 */
export function attentionPool(tokens: Tensor, input: AttentionPoolInput): Tensor {
  const { positions, query, keys, values, heads } = input;
  const layers = [query.weight, query.bias, keys, values.weight, values.bias] as const;
  return attentionPoolOp.tensor(tokens, positions, ...layers, heads);
}
