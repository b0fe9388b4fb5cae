import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import type { Device, FloatDType } from '@bantam/torch';
import { cacheDirectory } from '../base/cache-dir.js';
import { formatBytes } from '../base/format-bytes.js';
import { causeOf } from '../base/system-error.js';
import { inspectCpu, type Cpu } from './cpu.js';
import type { InspectRuntimeOptions, Runtime } from './runtime.js';

/** A fault of the machine and its remedy. */
export interface Problem {
  readonly what: string;
  readonly remedy: string;
}

/** This computer as Bantam finds it. */
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
  /** libtorch, unless it does not load; then {@link runtimeError} says why. */
  readonly runtime?: Runtime;
  readonly runtimeError?: string;
  /** Conclusions from what was measured, a sentence each. */
  readonly verdicts: readonly string[];
  readonly problems: readonly Problem[];
}

export interface InspectMachineOptions {
  /** Seconds of measuring each precision of a device. */
  readonly seconds?: number;
  /** Devices whose rate is measured. Default: those of the machine. */
  readonly devices?: readonly Device[];
  /** Bantam's cache folder; {@link cacheDirectory} by default. */
  readonly cacheDir?: string;
  /** Called with the name of each measurement. */
  readonly onProgress?: (task: string) => void;
}

/** Inspects this computer and measures its matrix products; faults are reported, not thrown. */
export async function inspectMachine({
  seconds = 1,
  devices,
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
    ...(await loadRuntime(cpu, { seconds, devices, onProgress })),
  };
  return { ...found, verdicts: verdicts(found), problems: problems(found) };
}

async function loadRuntime(
  cpu: Cpu,
  options: InspectRuntimeOptions,
): Promise<Pick<Machine, 'runtime' | 'runtimeError'>> {
  try {
    const { inspectRuntime } = await import('./runtime.js');
    return { runtime: await inspectRuntime(cpu, options) };
  } catch (error) {
    return { runtimeError: causeOf(error) };
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

const gigabyte = 1e9;

/** Below these, the quickstart is likely to fail. */
const leastMemory = 2 * gigabyte;
const leastDisk = 2 * gigabyte;

/** Measured rate of a precision in GFLOP/s. */
export function rateOf(
  { runtime }: Pick<Machine, 'runtime'>,
  dtype: FloatDType,
  device: Device = 'cpu',
): number | undefined {
  return runtime?.rates.find((rate) => rate.dtype === dtype && rate.device === device)?.gflops;
}

/** Conclusions from what was measured, a sentence each. */
export function verdicts(machine: Pick<Machine, 'runtime'>): string[] {
  const { runtime } = machine;
  const fp32 = rateOf(machine, 'float32');
  const bf16 = rateOf(machine, 'bfloat16');
  if (runtime === undefined || fp32 === undefined || bf16 === undefined) return [];
  const ratio = bf16 / fp32;
  const [, gpu] = runtime.devices;
  const [faster, dtype] = ratio > 1 ? ['bf16', 'bfloat16'] : ['fp32', 'float32'];
  return [
    `bf16 multiplies matrices ${ratio.toFixed(1)} times as fast as fp32 here: ${
      runtime.precision === dtype
        ? `training takes ${faster} automatically.`
        : `train with --precision ${faster}.`
    }`,
    gpu === undefined
      ? 'No GPU that libtorch can use: training runs on the CPU.'
      : `A GPU is present, ${gpu}${timesAsFast(machine, gpu)}: training and inference take it automatically; --device cpu chooses the CPU.`,
  ];
}

/** `, which multiplies bf16 matrices 90 times as fast as the CPU`; empty if nobody measured it. */
function timesAsFast(machine: Pick<Machine, 'runtime'>, gpu: Device): string {
  const [own, cpu] = [gpu, 'cpu' as const].map((device) => rateOf(machine, 'bfloat16', device));
  if (own === undefined || cpu === undefined) return '';
  return `, which multiplies bf16 matrices ${(own / cpu).toPrecision(2)} times as fast as the CPU`;
}

/** Faults of the machine, worst first. */
export function problems({
  runtimeError,
  cpu,
  runtime,
  memory,
  cache,
}: Omit<Machine, 'verdicts' | 'problems'>): Problem[] {
  const found: Problem[] = [];
  if (runtimeError !== undefined) {
    found.push({
      what: `libtorch does not load: ${runtimeError.replace(/\.$/, '')}`,
      remedy: 'run "npx bantam setup" and read its output',
    });
  }
  for (const { device, reason } of runtime?.failures ?? []) {
    found.push({
      what: `${device} does not compute: ${reason.replace(/\.$/, '')}`,
      remedy: 'choose --device cpu, or a GPU that this libtorch is built for',
    });
  }
  const unusable = runtime?.unusableGpus ?? null;
  if (unusable !== null) found.push(unusable);
  if (!cache.writable) {
    found.push({
      what: `the cache folder ${cache.directory} cannot be written`,
      remedy: 'set BANTAM_CACHE to a folder that can',
    });
  } else if (cache.freeBytes < leastDisk) {
    found.push({
      what: `only ${formatBytes(cache.freeBytes)} are free on the disk of ${cache.directory}`,
      remedy: `free ${formatBytes(leastDisk)}, or set BANTAM_CACHE to a folder on another disk`,
    });
  }
  if (memory.freeBytes < leastMemory) {
    found.push({
      what: `only ${formatBytes(memory.freeBytes)} of memory are free`,
      remedy: 'close other programs, or train with a smaller train.batchSize',
    });
  }
  const isBelowAmx =
    runtime !== undefined && runtime.level !== 'amx' && runtime.limit === undefined;
  if (isBelowAmx && cpu.matrix.includes('amx_bf16')) {
    found.push({
      what: 'the CPU has AMX, but this process may not use it',
      remedy: 'use Linux 5.16 or later, outside of a sandbox that forbids arch_prctl',
    });
  }
  if (runtime !== undefined && runtime.threads < cpu.cores / 2) {
    found.push({
      what: `libtorch uses ${runtime.threads} of ${cpu.cores} cores`,
      remedy: 'unset OMP_NUM_THREADS',
    });
  }
  return found;
}
