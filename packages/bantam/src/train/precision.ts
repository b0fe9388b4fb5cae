import { hasAmx, type FloatDType } from '@bantam/torch';
import type { TrainSettings } from './config.js';

/**
 * The dtype in which the towers compute. `auto` takes bf16 only where the processor has matrix
 * units for it: elsewhere bf16 products are slower than float32 ones.
 */
export function resolvePrecision(precision: TrainSettings['precision']): FloatDType {
  if (precision === 'auto') return hasAmx() ? 'bfloat16' : 'float32';
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}
