// Without libtorch, so that the command line prints it before a command needs that.
import type { FloatDType } from '@bantam/torch';

const names = { float64: 'fp64', float32: 'fp32', bfloat16: 'bf16', float16: 'fp16' } as const;

/** The name that settings and printed texts have for a dtype: `bf16` of `bfloat16`. */
export function precisionName(dtype: FloatDType): string {
  return names[dtype];
}
