import { resolveDevice, type Device, type FloatDType } from '@bantam/torch';
import {
  loadModel,
  narrowModel,
  prepackModel,
  quantizeModel,
  recordPrograms,
  type LoadedModel,
  type LoadModelOptions,
} from '../models/index.js';
import { UsageError } from '../base/errors.js';
import { resolvePrecision } from '../base/precision.js';

/**
 * Number format of inference. `auto` is bf16 on CUDA and where the CPU has instructions for
 * it, else fp32. With `int8` the linear layers of the towers' blocks multiply int8 on the CPU, see
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

/** Options of {@link loadForInference}. */
export interface LoadForInferenceOptions extends LoadModelOptions {
  /** Default `fp32`. */
  readonly precision?: InferencePrecision;
  /** `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`, the default: a GPU if there is one. */
  readonly device?: string;
}

/**
 * {@link loadModel} for inference in a precision, with branches and batch norms merged where there are
 * any, and weights kept in that precision and in the CPU's order. The model is neither for training nor for saving.
 *
 * @throws BantamError as {@link loadModel}; TorchError if there is no such device; UsageError for int8 on
 * another device than the CPU.
 */
export async function loadForInference(
  name: string,
  { precision = 'fp32', device: wanted = 'auto', ...options }: LoadForInferenceOptions = {},
): Promise<InferenceModel> {
  const device = inferenceDevice(wanted, precision);
  const loaded = await loadModel(name, { fused: true, ...options });
  const dtype = resolvePrecision(precision === 'int8' ? 'auto' : precision, device);
  loaded.model.to({ device });
  if (precision === 'int8') quantizeModel(loaded.model);
  prepackModel(loaded.model, dtype);
  narrowModel(loaded.model, dtype);
  recordPrograms(loaded.model);
  return { name, loaded, precision: dtype };
}

function inferenceDevice(name: string, precision: InferencePrecision): Device {
  if (precision !== 'int8') return resolveDevice(name);
  if (name === 'auto' || name === 'cpu') return 'cpu';
  throw new UsageError(
    `int8 is for the CPU, not for the device '${name}'; choose the precision fp32, bf16 or auto there.`,
  );
}
