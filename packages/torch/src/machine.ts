import { TorchError } from './errors.js';
import { native } from './native.js';

/** libtorch's version, such as `2.13.0`. */
export function torchVersion(): string {
  return native.version();
}

/** How libtorch was built, in its own words. */
export function torchBuild(): string {
  return native.buildConfig();
}

/** The widest vector instructions that libtorch's kernels use here, such as `AVX512`. */
export function cpuCapability(): string {
  return native.cpuCapability();
}

const instructionLevels = ['default', 'avx2', 'avx512', 'avx512_bf16', 'amx'] as const;

/**
 * Instructions that Bantam's own kernels use, each level with those before it: plain C++ and libtorch's
 * operators, AVX2, AVX-512, AVX512-BF16, AMX.
 */
export type InstructionLevel = (typeof instructionLevels)[number];

/**
 * The level at which Bantam's kernels run: the highest that the CPU has, that the system lets this process
 * use, and that the environment variable `BANTAM_MAX_ISA` allows. It does not limit libtorch's own kernels.
 */
export function instructionLevel(): InstructionLevel {
  const found = instructionLevels.find((level) => level === native.instructionLevel());
  if (found === undefined) throw new TorchError('The native addon names an unknown level.');
  return found;
}

function atLeast(level: InstructionLevel): boolean {
  return instructionLevels.indexOf(instructionLevel()) >= instructionLevels.indexOf(level);
}

/** True if Bantam's kernels use AMX; see {@link instructionLevel}. */
export function hasAmx(): boolean {
  return atLeast('amx');
}

/** True if Bantam's kernels use instructions for products of bfloat16 (AVX512-BF16); see {@link instructionLevel}. */
export function hasAvx512Bf16(): boolean {
  return atLeast('avx512_bf16');
}

/** Number of threads that one operator uses. */
export function threads(): number {
  return native.getThreads();
}

/** Sets the number of threads that one operator uses. */
export function setThreads(count: number): void {
  native.setThreads(count);
}
