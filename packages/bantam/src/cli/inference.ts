import { Option } from 'commander';
import type { InferenceModel, InferencePrecision } from '../eval/index.js';
import { fetchModel } from './model-names.js';
import type { Progress } from './progress.js';

/** Value of {@link precisionOption}. */
export interface PrecisionFlags {
  readonly precision: InferencePrecision;
}

/** `--precision` of commands for inference. */
export function precisionOption(): Option {
  return new Option('--precision <name>', 'precision of the model; int8: of its linear layers')
    .choices(['fp32', 'bf16', 'int8', 'auto'])
    .default('fp32');
}

/** Fetches and loads a model for inference in a precision; a note warns if the CPU is slow in it. */
export async function loadToRun(
  model: string,
  { precision }: PrecisionFlags,
  progress: Progress,
): Promise<InferenceModel> {
  await fetchModel(model, progress);
  const { loadForInference } = await import('../eval/index.js');
  const { hasInt8Products } = await import('@bantam/torch');
  if (precision === 'int8' && !hasInt8Products()) {
    progress.note(
      'This CPU has no instructions for products of int8 (AVX512-VNNI or AMX): int8 then shows its loss of accuracy, but is slower than fp32.',
    );
  }
  return loadForInference(model, { precision });
}
