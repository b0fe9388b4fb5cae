import { deviceType, hasAvx512Bf16, type Device, type FloatDType } from '@bantam/torch';

/** Precision of training: the dtype of products under autocast. */
export type Precision = 'auto' | 'fp32' | 'bf16' | 'fp16';

const dtypes = { fp32: 'float32', bf16: 'bfloat16', fp16: 'float16' } as const;

/**
 * The dtype in which the towers compute. `auto` takes bf16 on CUDA, and on the CPU if it has instructions
 * for its products (AMX or AVX512-BF16) and `BANTAM_MAX_ISA` allows them; else fp32, which is faster on
 * other CPUs.
 */
export function resolvePrecision(precision: Precision, device: Device = 'cpu'): FloatDType {
  if (precision !== 'auto') return dtypes[precision];
  const type = deviceType(device);
  const fast = type === 'cuda' || (type === 'cpu' && hasAvx512Bf16());
  return fast ? 'bfloat16' : 'float32';
}
