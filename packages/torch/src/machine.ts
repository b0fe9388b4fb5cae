import { TorchError } from './errors.js';
import { native } from './native.js';
import type { Device } from './tensor.js';

/** libtorch's version, such as `2.13.0`. */
export function torchVersion(): string {
  return native.version();
}

/** How libtorch was built, in its own words. */
export function torchBuild(): string {
  return native.buildConfig();
}

/** The widest vector instructions that libtorch's kernels use here, such as `AVX512`. */
export function cpuCapability(): string {
  return native.cpuCapability();
}

/** Whether the processor has matrix units (AMX) that this process may use. */
export function hasAmx(): boolean {
  return native.hasAmx();
}

/** Whether the processor has vector instructions for products of bfloat16 (AVX512-BF16). */
export function hasAvx512Bf16(): boolean {
  return native.hasAvx512Bf16();
}

/** Number of threads that one operator uses. */
export function threads(): number {
  return native.getThreads();
}

/** Sets the number of threads that one operator uses. */
export function setThreads(count: number): void {
  native.setThreads(count);
}

let cudaLoaded = false;

/**
 * Makes a device usable: for `cuda` this loads libtorch's CUDA library. Not yet run on a GPU.
 *
 * @throws TorchError when libtorch has no CUDA or there is no CUDA device.
 */
export function prepareDevice(device: Device): void {
  if (device === 'cpu' || cudaLoaded) return;
  const problem = native.loadCuda();
  if (problem !== null) {
    throw new TorchError(
      `Device ${device} cannot be used (${problem}); choose 'cpu', or install a CUDA build of libtorch and its driver.`,
    );
  }
  cudaLoaded = true;
}
