import { setImmediate } from 'node:timers/promises';
import {
  availableDevices,
  cpuCapability,
  Generator,
  instructionLevel,
  matmul,
  rand,
  threads,
  torchBuild,
  torchVersion,
  type Device,
  type FloatDType,
  type InstructionLevel,
} from '@bantam/torch';
import { resolvePrecision } from '../base/precision.js';
import { upperMedian } from '../base/statistics.js';
import type { Cpu } from './cpu.js';

/** libtorch on this machine. */
export interface Runtime {
  readonly version: string;
  /** How libtorch was built, in its own words. */
  readonly build: string;
  /** The widest vector instructions of its kernels, e.g. `AVX512`. */
  readonly capability: string;
  /** Instruction level of Bantam's own kernels. */
  readonly level: InstructionLevel;
  /** `BANTAM_MAX_ISA`, if it is set. */
  readonly limit?: string;
  /** Dtype of training with `--precision auto`. */
  readonly precision: FloatDType;
  readonly threads: number;
  readonly devices: readonly Device[];
  readonly rates: readonly MatrixRate[];
}

/** How fast this machine multiplies matrices of one type. */
export interface MatrixRate {
  readonly dtype: FloatDType;
  /** The product is of two `size`×`size` matrices. */
  readonly size: number;
  /** 10⁹ floating-point operations a second, two per multiply-add; median over the products. */
  readonly gflops: number;
}

/** Loads libtorch and measures its matrix products, about `seconds` for each precision. */
export async function inspectRuntime(
  cpu: Cpu,
  { seconds, onProgress }: { seconds: number; onProgress: (task: string) => void },
): Promise<Runtime> {
  const dtypes: FloatDType[] = ['float32', 'bfloat16'];
  // Without instructions for it, libtorch computes float16 in float32.
  if ([...cpu.vector, ...cpu.matrix].some((flag) => flag.endsWith('_fp16'))) dtypes.push('float16');
  const rates: MatrixRate[] = [];
  for (const dtype of dtypes) {
    onProgress(`matrix products in ${dtype}`);
    rates.push(await measureMatrixRate(dtype, { seconds }));
  }
  const limit = process.env.BANTAM_MAX_ISA;
  return {
    version: torchVersion(),
    build: torchBuild(),
    capability: cpuCapability(),
    level: instructionLevel(),
    ...(limit ? { limit } : {}),
    precision: resolvePrecision('auto'),
    threads: threads(),
    devices: availableDevices(),
    rates,
  };
}

/**
 * Measures the product of two square matrices for about `seconds`, after one that warms up: the
 * median time t of a product gives 2·size³ / t.
 */
export async function measureMatrixRate(
  dtype: FloatDType,
  { size = 2048, seconds = 1 }: { size?: number; seconds?: number } = {},
): Promise<MatrixRate> {
  const generator = new Generator({ seed: 1 });
  using a = rand([size, size], generator, { dtype });
  using b = rand([size, size], generator, { dtype });
  matmul(a, b).dispose();
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (times.length === 0 || performance.now() < end) {
    const start = performance.now();
    matmul(a, b).dispose();
    times.push((performance.now() - start) / 1000);
    await setImmediate();
  }
  return { dtype, size, gflops: (2 * size ** 3) / upperMedian(times) / 1e9 };
}
