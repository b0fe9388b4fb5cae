import { Option } from 'commander';
import type { InferenceModel, InferencePrecision } from '../eval/index.js';
import type { Progress } from './progress.js';

/** What {@link precisionOption} gives. */
export interface PrecisionFlags {
  readonly precision: InferencePrecision;
}

/** `--precision` of commands that run a model and do not train it. */
export function precisionOption(): Option {
  return new Option('--precision <name>', 'what the model computes in; int8: its linear layers')
    .choices(['fp32', 'bf16', 'int8', 'auto'])
    .default('fp32');
}

/** Loads a model to run it in a precision, and says where that makes little sense. */
export async function loadToRun(
  directory: string,
  { precision }: PrecisionFlags,
  progress: Progress,
): Promise<InferenceModel> {
  const { loadForInference } = await import('../eval/index.js');
  const { hasInt8Products } = await import('@bantam/torch');
  if (precision === 'int8' && !hasInt8Products()) {
    progress.note(
      'This processor has no instructions for products of int8 (AVX512-VNNI or AMX): int8 shows what it costs in accuracy, but takes longer than fp32.',
    );
  }
  return loadForInference(directory, { precision });
}
