import { fileURLToPath } from 'node:url';
import { baselineWorker } from './baseline.js';
import type { BaselineSettings } from './protocol.js';
import { WorkerProcess } from './worker-process.js';

const bantamWorker = fileURLToPath(new URL('./bantam-worker.js', import.meta.url));
const onnxWorker = fileURLToPath(new URL('./onnx-worker.js', import.meta.url));

/** The highest instructions that both implementations may use. */
export type InstructionLimit = 'avx2' | 'avx512' | 'avx512_bf16';

/** Names of a limit in the variables of Bantam, PyTorch, oneDNN and MKL. */
const limits: Readonly<Record<InstructionLimit, NodeJS.ProcessEnv>> = {
  avx2: limitVariables('avx2', 'avx2', 'AVX2'),
  avx512: limitVariables('avx512', 'avx512', 'AVX512_CORE_VNNI'),
  avx512_bf16: limitVariables('avx512_bf16', 'avx512', 'AVX512_CORE_BF16'),
};

function limitVariables(bantam: string, torch: string, oneDnn: string): NodeJS.ProcessEnv {
  return {
    BANTAM_MAX_ISA: bantam,
    ATEN_CPU_CAPABILITY: torch,
    ONEDNN_MAX_CPU_ISA: oneDnn,
    MKL_ENABLE_INSTRUCTIONS: torch.toUpperCase(),
  };
}

export const instructionLimits = Object.keys(limits) as readonly InstructionLimit[];

/** Options of both workers. */
export interface WorkerOptions {
  /** Threads of one operator; the machine's cores by default. */
  readonly threads?: number | undefined;
  /** Limits Bantam, libtorch and its libraries, and the baseline's, alike. Default: none. */
  readonly isa?: InstructionLimit | undefined;
}

function environment({ threads, isa }: WorkerOptions): NodeJS.ProcessEnv {
  const count = String(threads);
  return {
    ...process.env,
    ...(isa !== undefined && limits[isa]),
    ...(threads !== undefined && { OMP_NUM_THREADS: count, MKL_NUM_THREADS: count }),
  };
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

/** Starts the worker of ONNX Runtime in Node. */
export function startOnnx(options: WorkerOptions): WorkerProcess {
  return new WorkerProcess({
    name: 'ONNX Runtime',
    program: process.execPath,
    args: [onnxWorker],
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
