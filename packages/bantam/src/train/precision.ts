import { hasAvx512Bf16, type FloatDType } from '@bantam/torch';
import type { TrainSettings } from './config.js';

/**
 * The dtype in which the towers compute. `auto` takes bf16 where the processor has instructions for
 * its products, matrix units (AMX) or AVX512-BF16, and `BANTAM_MAX_ISA` allows them. Elsewhere they are
 * slower than those of float32.
 */
export function resolvePrecision(precision: TrainSettings['precision']): FloatDType {
  if (precision === 'auto') return hasAvx512Bf16() ? 'bfloat16' : 'float32';
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}
