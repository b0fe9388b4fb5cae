import type { FloatDType } from '@bantam/torch';
import type { Machine } from './machine.js';

/** Something that keeps Bantam from working well, and what to do about it. */
export interface Problem {
  readonly what: string;
  readonly remedy: string;
}

const gigabyte = 1e9;

/** Below these, the quickstart is likely to fail. */
const leastMemory = 2 * gigabyte;
const leastDisk = 2 * gigabyte;

/** Measured rate of a precision in GFLOP/s. */
export function rateOf({ engine }: Pick<Machine, 'engine'>, dtype: FloatDType): number | undefined {
  return engine?.rates.find((rate) => rate.dtype === dtype)?.gflops;
}

/** Conclusions from what was measured, a sentence each. */
export function verdicts(machine: Pick<Machine, 'engine'>): string[] {
  const { engine } = machine;
  const fp32 = rateOf(machine, 'float32');
  const bf16 = rateOf(machine, 'bfloat16');
  if (engine === undefined || fp32 === undefined || bf16 === undefined) return [];
  const ratio = bf16 / fp32;
  const [faster, dtype] = ratio > 1 ? ['bf16', 'bfloat16'] : ['fp32', 'float32'];
  return [
    `bf16 multiplies matrices ${ratio.toFixed(1)} times as fast as fp32 here: ${
      engine.precision === dtype
        ? `training takes ${faster} by itself.`
        : `train with --precision ${faster}.`
    }`,
    engine.devices.includes('cuda')
      ? 'A CUDA device is there; Bantam trains on the processor.'
      : 'No GPU that libtorch can use: training runs on the processor.',
  ];
}

/** What is wrong with the machine, worst first. */
export function problems({
  engineError,
  cpu,
  engine,
  memory,
  cache,
}: Omit<Machine, 'verdicts' | 'problems'>): Problem[] {
  const found: Problem[] = [];
  if (engineError !== undefined) {
    found.push({
      what: `libtorch does not load: ${engineError}`,
      remedy: 'run "npx bantam setup" and read what it prints',
    });
  }
  if (!cache.writable) {
    found.push({
      what: `the cache folder ${cache.directory} cannot be written`,
      remedy: 'set BANTAM_CACHE to a folder that can',
    });
  } else if (cache.freeBytes < leastDisk) {
    found.push({
      what: `only ${gigabytes(cache.freeBytes)} are free on the disk of ${cache.directory}`,
      remedy: `free ${gigabytes(leastDisk)}, or set BANTAM_CACHE to a folder on another disk`,
    });
  }
  if (memory.freeBytes < leastMemory) {
    found.push({
      what: `only ${gigabytes(memory.freeBytes)} of memory are free`,
      remedy: 'close other programs, or train with a smaller train.batchSize',
    });
  }
  const isBelowAmx = engine !== undefined && engine.level !== 'amx' && engine.limit === undefined;
  if (isBelowAmx && cpu.matrix.includes('amx_bf16')) {
    found.push({
      what: 'the processor has matrix units (AMX) that this process may not use',
      remedy: 'use Linux 5.16 or later, outside of a sandbox that forbids arch_prctl',
    });
  }
  if (engine !== undefined && engine.threads < cpu.cores / 2) {
    found.push({
      what: `libtorch uses ${engine.threads} of ${cpu.cores} cores`,
      remedy: 'unset OMP_NUM_THREADS',
    });
  }
  return found;
}

function gigabytes(bytes: number): string {
  return `${(bytes / gigabyte).toFixed(1)} GB`;
}
