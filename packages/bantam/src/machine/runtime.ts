import { setImmediate } from 'node:timers/promises';
import {
  availableDevices,
  cpuCapability,
  cudaFacts,
  deviceType,
  Generator,
  instructionLevel,
  isAccelerator,
  matmul,
  rand,
  synchronize,
  threads,
  torchBuild,
  torchVersion,
  unusableGpus,
  type CudaFacts,
  type CudaProblem,
  type Device,
  type FloatDType,
  type InstructionLevel,
} from '@bantam/torch';
import { resolvePrecision } from '../base/precision.js';
import { upperMedian } from '../base/statistics.js';
import { causeOf } from '../base/system-error.js';
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
  /** NVIDIA's driver and libtorch's CUDA part. */
  readonly cuda: CudaFacts;
  /** GPUs that are here and cannot be used, and why. */
  readonly unusableGpus: CudaProblem | null;
  readonly rates: readonly MatrixRate[];
  /** Devices that failed to compute. */
  readonly failures: readonly DeviceFailure[];
}

/** A device that is there and does not compute. */
export interface DeviceFailure {
  readonly device: Device;
  readonly reason: string;
}

/** How fast this machine multiplies matrices of one type. */
export interface MatrixRate {
  readonly device: Device;
  readonly dtype: FloatDType;
  /** The product is of two `size`×`size` matrices. */
  readonly size: number;
  /** 10⁹ floating-point operations a second, two per multiply-add; median over the products. */
  readonly gflops: number;
}

/** Options of {@link inspectRuntime}. */
export interface InspectRuntimeOptions {
  readonly seconds: number;
  /** Devices whose rate is measured. Default: those of the machine. */
  readonly devices?: readonly Device[] | undefined;
  readonly onProgress: (task: string) => void;
}

/** Loads libtorch and measures its matrix products, about `seconds` for each device and precision. */
export async function inspectRuntime(
  cpu: Cpu,
  { seconds, devices = availableDevices(), onProgress }: InspectRuntimeOptions,
): Promise<Runtime> {
  const rates: MatrixRate[] = [];
  const failures: DeviceFailure[] = [];
  for (const device of devices) {
    try {
      for (const dtype of dtypesOf(device, cpu)) {
        onProgress(`matrix products in ${dtype} on ${device}`);
        rates.push(await measureMatrixRate(dtype, { device, seconds }));
      }
    } catch (error) {
      failures.push({ device, reason: causeOf(error) });
    }
  }
  const limit = process.env.BANTAM_MAX_ISA;
  const cuda = cudaFacts();
  return {
    version: torchVersion(),
    build: torchBuild(),
    capability: cpuCapability(),
    level: instructionLevel(),
    ...(limit ? { limit } : {}),
    precision: resolvePrecision('auto'),
    threads: threads(),
    devices,
    cuda,
    unusableGpus: unusableGpus(cuda),
    rates,
    failures,
  };
}

/** Precisions worth measuring: without instructions for it, a CPU computes float16 in float32. */
function dtypesOf(device: Device, { vector, matrix }: Cpu): FloatDType[] {
  const hasHalf = [...vector, ...matrix].some((flag) => flag.endsWith('_fp16'));
  return isGpu(device) || hasHalf ? ['float32', 'bfloat16', 'float16'] : ['float32', 'bfloat16'];
}

function isGpu(device: Device): boolean {
  return ['cuda', 'mps'].includes(deviceType(device));
}

/** Options of {@link measureMatrixRate}. */
export interface MatrixRateOptions {
  /** Default `cpu`. */
  readonly device?: Device;
  /**
   * Default 2048, and 8192 on a GPU, whose units a small product does not fill; a half, a quarter or an eighth
   * of that where one product would take longer than `seconds`.
   */
  readonly size?: number;
  /** Default 1. */
  readonly seconds?: number;
}

/** Seconds of products that an accelerator computes between two waits, each of which costs it time. */
const SECONDS_BETWEEN_WAITS = 0.05;

/**
 * Measures the product of two square matrices for about `seconds`, after one that warms up: the
 * median time t of a product gives 2·size³ / t.
 */
export async function measureMatrixRate(
  dtype: FloatDType,
  { device = 'cpu', size, seconds = 1 }: MatrixRateOptions = {},
): Promise<MatrixRate> {
  const largest = size ?? (isGpu(device) ? 8192 : 2048);
  for (let sideLength = size ?? largest / 8; ; sideLength *= 2) {
    const generator = new Generator({ seed: 1 });
    using a = rand([sideLength, sideLength], generator, { dtype, device });
    using b = rand([sideLength, sideLength], generator, { dtype, device });
    const secondsOf = async (products: number): Promise<number> => {
      const start = performance.now();
      for (let i = 0; i < products; i++) matmul(a, b).dispose();
      await synchronize(device);
      return (performance.now() - start) / 1000 / products;
    };
    await secondsOf(1);
    const once = await secondsOf(1);
    if (sideLength < largest && 2 ** 3 * once <= seconds) continue;
    const products = isAccelerator(device) ? Math.ceil(SECONDS_BETWEEN_WAITS / once) : 1;
    const times: number[] = [];
    const end = performance.now() + seconds * 1000;
    while (times.length === 0 || performance.now() < end) {
      times.push(await secondsOf(products));
      await setImmediate();
    }
    return {
      device,
      dtype,
      size: sideLength,
      gflops: (2 * sideLength ** 3) / upperMedian(times) / 1e9,
    };
  }
}
