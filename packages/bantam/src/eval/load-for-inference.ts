import type { FloatDType } from '@bantam/torch';
import {
  loadModel,
  narrowModel,
  prepackModel,
  quantizeModel,
  type LoadedModel,
  type LoadModelOptions,
} from '../models/index.js';
import { resolvePrecision } from '../base/precision.js';

/**
 * Number format of inference. `auto` is bf16 where the CPU has instructions for
 * it, else fp32. With `int8` the linear layers of the towers' blocks multiply int8, see
 * {@link quantizeModel}, and all else is as with `auto`.
 */
export type InferencePrecision = 'fp32' | 'bf16' | 'int8' | 'auto';

/** A model, and the `precision` that `EncodeOptions` is to have with it. */
export interface InferenceModel {
  /** The name that it was loaded by. */
  readonly name: string;
  readonly loaded: LoadedModel;
  readonly precision: FloatDType;
}

/**
 * {@link loadModel} for inference in a precision, with branches and batch norms merged where there are
 * any, and weights kept in that precision and in the CPU's order. The model is neither for training nor for saving.
 *
 * @throws BantamError as {@link loadModel}.
 */
export async function loadForInference(
  name: string,
  { precision = 'fp32', ...options }: LoadModelOptions & { precision?: InferencePrecision } = {},
): Promise<InferenceModel> {
  const loaded = await loadModel(name, { fused: true, ...options });
  const dtype = resolvePrecision(precision === 'int8' ? 'auto' : precision);
  if (precision === 'int8') quantizeModel(loaded.model);
  prepackModel(loaded.model, dtype);
  narrowModel(loaded.model, dtype);
  return { name, loaded, precision: dtype };
}
