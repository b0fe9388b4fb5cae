import { deviceMemory, resetDevicePeak, synchronize, type Device } from './device.js';
import { native } from './native.js';

/** Live tensors and memory of libtorch. */
export interface MemoryStats {
  /** Tensors that JavaScript holds and has not disposed. */
  liveTensors: number;
  /** Bytes of CPU tensors that are alive, those of the autograd graph included. */
  liveBytes: number;
  /** Maximum of live bytes since {@link resetPeakBytes}. */
  peakBytes: number;
  /** Bytes of freed blocks, kept for later tensors of their size. */
  cachedBytes: number;
  /** Bytes that the tensors on the device `meta` which are alive would take elsewhere. */
  metaBytes: number;
}

/** Present memory statistics. */
export function memoryStats(): MemoryStats {
  return native.memoryStats();
}

/** Number of tensors that JavaScript holds and has not disposed. */
export function liveTensors(): number {
  return native.memoryStats().liveTensors;
}

/** Resets {@link MemoryStats.peakBytes} to the present live bytes. */
export function resetPeakBytes(): void {
  native.resetPeakBytes();
}

/** Gives the memory of freed blocks back to the system. */
export function emptyCache(): void {
  native.emptyCache();
}

/**
 * CPU memory that work allocates and frees: the bytes of each allocated block, in order, and −n where
 * it frees the n-th of them.
 */
export type AllocationTrace = Float64Array;

/** Records the memory that `run` takes, with what it does not give back. */
export async function traceAllocations(run: () => void | Promise<void>): Promise<AllocationTrace> {
  native.startTrace();
  try {
    await run();
    return native.stopTrace();
  } catch (error) {
    native.stopTrace();
    throw error;
  }
}

/**
 * {@link traceAllocations} on a device with memory of its own, which tells only how much it holds: one block
 * that `run` does not give back, and one that it does.
 */
export async function traceDeviceAllocations(
  device: Device,
  run: () => void | Promise<void>,
): Promise<AllocationTrace> {
  await synchronize(device);
  resetDevicePeak(device);
  const before = deviceMemory(device).allocated;
  await run();
  await synchronize(device);
  const { allocated, peak } = deviceMemory(device);
  const kept = Math.max(0, allocated - before);
  return Float64Array.of(kept, Math.max(0, peak - before - kept), -2);
}

/**
 * The most bytes that a sequence of blocks takes from the system: large freed blocks are kept for the
 * next of their size, and never given back.
 */
export function footprint(trace: AllocationTrace): number {
  return native.footprint(trace);
}

/**
 * Floating-point operations of the matrix products and convolutions that `body` runs, 2 per
 * multiply-add; backward passes count too. On the device `meta` nothing is computed, so that a large
 * model is counted at once.
 */
export function countFlops(body: () => void): number {
  native.startCounting();
  try {
    body();
  } catch (error) {
    native.stopCounting();
    throw error;
  }
  return native.stopCounting();
}
