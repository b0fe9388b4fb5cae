import { deviceType, isAccelerator, type Device } from './device.js';
import { dtypeCode, type FloatDType } from './dtype.js';
import { native } from './native.js';
import { Tensor } from './tensor.js';

/** Runs `body` without recording operators for gradients. */
export function noGrad<T>(body: () => T): T {
  const before = native.setGradMode(false);
  try {
    return body();
  } finally {
    native.setGradMode(before);
  }
}

/** True where operators record what gradients need: outside of {@link noGrad}. */
export function isGradEnabled(): boolean {
  const enabled = native.setGradMode(false);
  native.setGradMode(enabled);
  return enabled;
}

/** Options of {@link grad}. */
export interface GradOptions {
  /** Gradients with respect to the outputs; may be left out where they are scalars. */
  gradOutputs?: readonly Tensor[];
  retainGraph?: boolean;
  /** Record the backward pass itself, for second derivatives. */
  createGraph?: boolean;
}

/**
 * ∂outputs/∂inputs, without adding to any tensor's own gradient; null for unused inputs.
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  { gradOutputs = [], createGraph = false, retainGraph = createGraph }: GradOptions = {},
): (Tensor | null)[] {
  const handles = native.grad(
    outputs.map((tensor) => tensor.handle),
    inputs.map((tensor) => tensor.handle),
    gradOutputs.map((tensor) => tensor.handle),
    retainGraph,
    createGraph,
  );
  return handles.map((handle) => (handle === null ? null : new Tensor(handle)));
}

/**
 * Runs one backward pass from several outputs, each with the gradient of the same index
 * (null for a scalar output: 1).
 */
export function backward(
  outputs: readonly Tensor[],
  gradients: readonly (Tensor | null)[],
  { retainGraph = false }: { retainGraph?: boolean } = {},
): void {
  native.backward(
    outputs.map((tensor) => tensor.handle),
    gradients.map((tensor) => (tensor === null ? null : tensor.handle)),
    retainGraph,
  );
}

/**
 * Runs `body` under libtorch's autocast: matrix products and convolutions of tensors on `device` (default
 * `cpu`) in `dtype`, with weights cast once and kept until the outermost autocast ends. `float32` and
 * `float64` turn it off. Tensors on other devices are computed as before.
 */
export function autocast<T>(
  dtype: FloatDType,
  body: () => T,
  { device = 'cpu' }: { device?: Device } = {},
): T {
  const code = dtype === 'float32' || dtype === 'float64' ? null : dtypeCode(dtype);
  const type = isAccelerator(device) ? deviceType(device) : 'cpu';
  const before = native.setAutocast(type, code);
  try {
    return body();
  } finally {
    native.setAutocast(type, before);
  }
}
