import { fileURLToPath } from 'node:url';
import { baselineWorker } from './baseline.js';
import type { BaselineSettings } from './protocol.js';
import { WorkerProcess } from './worker-process.js';

const bantamWorker = fileURLToPath(new URL('./bantam-worker.js', import.meta.url));

/** Options of both workers. */
export interface WorkerOptions {
  /** Threads of one operator; the machine's cores by default. */
  readonly threads?: number | undefined;
}

function environment({ threads }: WorkerOptions): NodeJS.ProcessEnv {
  if (threads === undefined) return process.env;
  return { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
}

/** Starts Bantam's worker. */
export function startBantam(options: WorkerOptions): WorkerProcess {
  return new WorkerProcess({
    name: 'Bantam',
    program: process.execPath,
    args: [bantamWorker],
    env: environment(options),
  });
}

/** glibc then takes all memory from its heap, in huge pages where it can, and never shrinks it. */
const keptMemory = {
  MALLOC_MMAP_MAX_: '0',
  MALLOC_TRIM_THRESHOLD_: '17179869184',
  GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
};

/** Starts the baseline's worker; `settings` decide on its environment. */
export function startBaseline(
  python: string,
  options: WorkerOptions,
  settings?: BaselineSettings,
): WorkerProcess {
  return new WorkerProcess({
    name: 'The baseline',
    program: python,
    args: [baselineWorker],
    env: { ...environment(options), ...(settings?.keepMemory === true && keptMemory) },
  });
}
