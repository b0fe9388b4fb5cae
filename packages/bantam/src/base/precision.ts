import { deviceType, hasAvx512Bf16, type Device, type FloatDType } from '@bantam/torch';
import { BantamError } from './errors.js';

/**
 * Precision of training: the dtype of products under autocast, or `fp64`, in which weights, gradients
 * and the optimizer's state are too.
 */
export type Precision = 'auto' | 'fp64' | 'fp32' | 'bf16' | 'fp16';

const dtypes = { fp64: 'float64', fp32: 'float32', bf16: 'bfloat16', fp16: 'float16' } as const;

/** The dtype of weights, gradients and the optimizer's state. */
export function weightType(precision: Precision): 'float32' | 'float64' {
  return precision === 'fp64' ? 'float64' : 'float32';
}

/**
 * The dtype in which the towers compute. `auto` takes bf16 on CUDA, and on the CPU if it has instructions
 * for its products (AMX or AVX512-BF16) and `BANTAM_MAX_ISA` allows them; else fp32, which is faster on
 * other CPUs.
 *
 * @throws BantamError for `fp64` on MPS, which does not have it.
 */
export function resolvePrecision(precision: Precision, device: Device = 'cpu'): FloatDType {
  const type = deviceType(device);
  if (precision === 'fp64' && type === 'mps') {
    throw new BantamError('MPS has no fp64; train in fp32, or in fp64 with --device cpu.');
  }
  if (precision !== 'auto') return dtypes[precision];
  const fast = type === 'cuda' || (type === 'cpu' && hasAvx512Bf16());
  return fast ? 'bfloat16' : 'float32';
}
