import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { cacheDirectory } from '../base/cache-dir.js';
import { inspectCpu, type Cpu } from './cpu.js';
import type { Engine } from './engine.js';
import { problems, verdicts, type Problem } from './verdicts.js';

/** What Bantam finds on this computer. */
export interface Machine {
  readonly node: string;
  /** Operating system and architecture, e.g. `linux-x64`. */
  readonly platform: string;
  readonly cpu: Cpu;
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
  readonly cache: {
    readonly directory: string;
    readonly freeBytes: number;
    readonly writable: boolean;
  };
  /** libtorch, unless it does not load; then {@link engineError} says why. */
  readonly engine?: Engine;
  readonly engineError?: string;
  /** Conclusions from what was measured, a sentence each. */
  readonly verdicts: readonly string[];
  readonly problems: readonly Problem[];
}

export interface InspectMachineOptions {
  /** How long to measure each precision. */
  readonly seconds?: number;
  /** Bantam's cache folder; {@link cacheDirectory} by default. */
  readonly cacheDir?: string;
  /** Told what is being measured. */
  readonly onProgress?: (what: string) => void;
}

/** Looks at this computer and measures its matrix products; never fails where it can report. */
export async function inspectMachine({
  seconds = 1,
  cacheDir = cacheDirectory(),
  onProgress = () => undefined,
}: InspectMachineOptions = {}): Promise<Machine> {
  const cpu = await inspectCpu();
  const found = {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu,
    memory: { totalBytes: memoryLimit(), freeBytes: process.availableMemory() },
    cache: await inspectCache(cacheDir),
    ...(await loadEngine(cpu, { seconds, onProgress })),
  };
  return { ...found, verdicts: verdicts(found), problems: problems(found) };
}

async function loadEngine(
  cpu: Cpu,
  options: { seconds: number; onProgress: (what: string) => void },
): Promise<Pick<Machine, 'engine' | 'engineError'>> {
  try {
    const { inspectEngine } = await import('./engine.js');
    return { engine: await inspectEngine(cpu, options) };
  } catch (error) {
    return { engineError: error instanceof Error ? error.message : String(error) };
  }
}

/** Bytes of memory that this process may use: the machine's, or a container's limit below it. */
function memoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

async function inspectCache(directory: string): Promise<Machine['cache']> {
  let folder = directory;
  for (;;) {
    try {
      const { bavail, bsize } = await statfs(folder);
      const writable = (await stat(folder)).isDirectory() && (await canWrite(folder));
      return { directory, freeBytes: bavail * bsize, writable };
    } catch (error) {
      // The cache is made at its first use; until then the folder that will hold it counts.
      if (dirname(folder) === folder) throw error;
      folder = dirname(folder);
    }
  }
}

function canWrite(folder: string): Promise<boolean> {
  return access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
}
