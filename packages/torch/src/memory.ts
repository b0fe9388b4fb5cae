import { native } from './native.js';

/** What is alive on the native side. */
export interface MemoryStats {
  /** Tensors that JavaScript holds and has not disposed. */
  liveTensors: number;
  /** Bytes of CPU tensors that are alive, those of the autograd graph included. */
  liveBytes: number;
  /** The most bytes that were ever alive at once since {@link resetPeakBytes}. */
  peakBytes: number;
  /** Bytes of freed blocks, kept for later tensors of their size. */
  cachedBytes: number;
  /** Bytes that the tensors on the device `meta` which are alive would take elsewhere. */
  metaBytes: number;
}

/** Counts of what is alive now. */
export function memoryStats(): MemoryStats {
  return native.memoryStats();
}

/** Number of tensors that JavaScript holds and has not disposed. */
export function liveTensors(): number {
  return native.memoryStats().liveTensors;
}

/** Starts {@link MemoryStats.peakBytes} anew from what is alive now. */
export function resetPeakBytes(): void {
  native.resetPeakBytes();
}

/** Gives the memory of freed blocks back to the system. */
export function emptyCache(): void {
  native.emptyCache();
}

/**
 * What CPU memory a piece of work takes and gives back: bytes for each block that it takes, in order,
 * and −n where it gives back the n-th of them.
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
 * The most bytes that a sequence of blocks takes from the system: large freed blocks are kept for the
 * next of their size, and never given back.
 */
export function footprint(trace: AllocationTrace): number {
  return native.footprint(trace);
}
