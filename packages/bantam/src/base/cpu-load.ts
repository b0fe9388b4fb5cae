/** How busy other processes keep the machine. */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Seconds of CPU time since some start: of all processes, and of this one; and of the clock. */
export interface CpuTimes {
  readonly all: number;
  readonly own: number;
  readonly clock: number;
}

/** Shorter spans tell nothing: the kernel counts in hundredths of a second. */
const shortestSpan = 0.3;

/** Fraction of all cores from which on a measurement of speed is not that of the machine to itself. */
const busyFrom = 0.25;

/**
 * The load by other processes since this was made, those that this one starts included, on all cores of the
 * machine, whichever of them this process may use. Time that a hypervisor takes is not counted.
 */
export class CpuLoad {
  readonly #start = cpuTimes();

  /** Cores that other processes have used on average, after a wait if the span is too short to tell. */
  async others(): Promise<number> {
    const passed = cpuTimes().clock - this.#start.clock;
    if (passed < shortestSpan) await sleep(1000 * (shortestSpan - passed));
    return coresOfOthers(this.#start, cpuTimes());
  }
}

/** Cores that other processes used on average between two times. */
export function coresOfOthers(start: CpuTimes, end: CpuTimes): number {
  const used = end.all - start.all - (end.own - start.own);
  return Math.max(0, used / (end.clock - start.clock));
}

/** True if others use so many cores that they disturb a measurement of speed: a quarter of all. */
export function isBusy(others: number): boolean {
  return others >= busyFrom * cpus().length && others > 0;
}

function cpuTimes(): CpuTimes {
  const { user, system } = process.cpuUsage();
  const all = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys, 0);
  return { all: all / 1e3, own: (user + system) / 1e6, clock: performance.now() / 1e3 };
}
