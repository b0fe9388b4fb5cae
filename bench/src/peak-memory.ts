import { readFileSync, writeFileSync } from 'node:fs';

/** Starts the system's record of this process's most resident memory anew, where it has one. */
export function resetPeakMemory(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // Only Linux has it; there is no figure elsewhere.
  }
}

/** Bytes of the most resident memory since the last reset; null where the system does not tell. */
export function peakMemory(): number | null {
  try {
    const [, kilobytes] =
      /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}
