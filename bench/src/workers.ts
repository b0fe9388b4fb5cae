import { fileURLToPath } from 'node:url';
import { peerWorker } from './baseline.js';
import type { PeerSettings } from './protocol.js';
import { WorkerProcess } from './worker-process.js';

const bantamWorker = fileURLToPath(new URL('./bantam-worker.js', import.meta.url));

/** What both sides are started with. */
export interface SideOptions {
  /** Threads of one operator; the machine's cores by default. */
  readonly threads?: number | undefined;
}

function environment({ threads }: SideOptions): NodeJS.ProcessEnv {
  if (threads === undefined) return process.env;
  return { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
}

/** Starts Bantam's worker. */
export function startBantam(options: SideOptions): WorkerProcess {
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

/** Starts the peer's worker; `settings` decide on its environment. */
export function startPeer(
  python: string,
  options: SideOptions,
  settings?: PeerSettings,
): WorkerProcess {
  return new WorkerProcess({
    name: 'The peer',
    program: python,
    args: [peerWorker],
    env: { ...environment(options), ...(settings?.keepMemory === true && keptMemory) },
  });
}
