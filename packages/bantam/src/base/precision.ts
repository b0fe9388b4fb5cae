import { hasAvx512Bf16, type FloatDType } from '@bantam/torch';

/** Precision of training: the dtype of products under autocast. */
export type Precision = 'auto' | 'fp32' | 'bf16';

/**
 * The dtype in which the towers compute. `auto` takes bf16 if the CPU has instructions for its
 * products (AMX or AVX512-BF16) and `BANTAM_MAX_ISA` allows them. On other CPUs they are slower than
 * those of float32.
 */
export function resolvePrecision(precision: Precision): FloatDType {
  if (precision === 'auto') return hasAvx512Bf16() ? 'bfloat16' : 'float32';
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}
