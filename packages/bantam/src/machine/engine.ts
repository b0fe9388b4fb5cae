import {
  cpuCapability,
  instructionLevel,
  prepareDevice,
  threads,
  torchBuild,
  torchVersion,
  type Device,
  type FloatDType,
  type InstructionLevel,
} from '@bantam/torch';
import { resolvePrecision } from '../base/precision.js';
import type { Cpu } from './cpu.js';
import { measureMatrixRate, type MatrixRate } from './matrix-rate.js';

/** What libtorch is and can do here. */
export interface Engine {
  readonly version: string;
  /** How libtorch was built, in its own words. */
  readonly build: string;
  /** The widest vector instructions of its kernels, e.g. `AVX512`. */
  readonly capability: string;
  /** The instructions of Bantam's own kernels. */
  readonly level: InstructionLevel;
  /** `BANTAM_MAX_ISA`, where it is set. */
  readonly limit?: string;
  /** What training computes in with `--precision auto`. */
  readonly precision: FloatDType;
  readonly threads: number;
  readonly devices: readonly Device[];
  readonly rates: readonly MatrixRate[];
}

/** Loads libtorch and measures its matrix products, about `seconds` for each precision. */
export async function inspectEngine(
  cpu: Cpu,
  { seconds, onProgress }: { seconds: number; onProgress: (what: string) => void },
): Promise<Engine> {
  const dtypes: FloatDType[] = ['float32', 'bfloat16'];
  // Without instructions for it, libtorch computes float16 by way of float32.
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
    devices: hasCuda() ? ['cpu', 'cuda'] : ['cpu'],
    rates,
  };
}

function hasCuda(): boolean {
  try {
    prepareDevice('cuda');
    return true;
  } catch {
    return false;
  }
}
