import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';

/** Instruction sets that matter to matrix products, as Linux names them. */
const vectorFlags = [
  'avx',
  'avx2',
  'fma',
  'avx512f',
  'avx_vnni',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'asimd',
  'asimddp',
  'sve',
  'sve2',
  'bf16',
  'i8mm',
];
const matrixFlags = ['amx_tile', 'amx_int8', 'amx_bf16', 'amx_fp16', 'sme', 'sme2'];

/** The CPU of a machine. */
export interface Cpu {
  readonly name: string;
  /** Logical cores that this process may use. */
  readonly cores: number;
  /** Vector and matrix instructions, in Linux's names; empty on other systems. */
  readonly vector: readonly string[];
  readonly matrix: readonly string[];
}

/** Reads the facts that the operating system has of its CPU. */
export async function inspectCpu(): Promise<Cpu> {
  const info = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1]?.trim().split(/\s+/));
  return {
    name: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    vector: vectorFlags.filter((flag) => flags.has(flag)),
    matrix: matrixFlags.filter((flag) => flags.has(flag)),
  };
}
