import { Option } from 'commander';
import type { Helpers, InferenceModel, InferencePrecision } from '../eval/index.js';
import { fetchModel } from './model-names.js';
import type { Progress } from './progress.js';
import { deviceName } from './values.js';

/** Values of {@link deviceOption} and {@link precisionOption}. */
export interface InferenceFlags {
  readonly precision: InferencePrecision;
  readonly device?: string;
}

/** `--device` of commands that compute. */
export function deviceOption(): Option {
  return new Option(
    '--device <name>',
    'auto, cpu, cuda, cuda:N or mps (default: auto, a GPU if there is one)',
  ).argParser(deviceName);
}

/** `--precision` of commands for inference. */
export function precisionOption(): Option {
  return new Option('--precision <name>', 'precision of the model; int8: of its linear layers')
    .choices(['fp32', 'bf16', 'int8', 'auto'])
    .default('fp32');
}

/** Fetches and loads a model for inference, with its helpers; a note warns if the CPU is slow in the precision. */
export async function loadToRun(
  model: string,
  { precision, device, helpers }: InferenceFlags & { readonly helpers?: Helpers | undefined },
  progress: Progress,
): Promise<InferenceModel> {
  await fetchModel(model, progress);
  const { loadTogether } = await import('../eval/index.js');
  const { hasInt8Products } = await import('@bantam/torch');
  if (precision === 'int8' && !hasInt8Products()) {
    progress.note(
      'Bantam has no products of int8 for this CPU, only from AVX2 on: int8 then shows its loss of accuracy, but is slower than fp32.',
    );
  }
  return loadTogether(model, { precision, helpers, ...(device !== undefined && { device }) });
}
