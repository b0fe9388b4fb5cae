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
