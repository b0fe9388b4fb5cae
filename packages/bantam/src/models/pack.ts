import type { Module} from '@bantam/torch';
import { type FloatDType } from '@bantam/torch';
import type { Clip } from './clip.js';

/** A part of a tower that has a form of its own for inference. */
export interface Packable {
  /** Takes that form in place, to compute in `dtype` on the CPU. */
  pack(dtype: FloatDType): void;
}

function isPackable(module: Module): module is Module & Packable {
  return 'pack' in module;
}

/**
 * Brings the convolutional image towers into their form for inference on the CPU, in place: batch norms
 * and layer scales merged into the weights, these in the order in which the processor reads them
 * fastest, and bias, activation and shortcut in one operator with the product before them. Layers in
 * int8 stay as they are. The model is then neither for training nor for saving.
 */
export function packModel(model: Clip, dtype: FloatDType): void {
  if (model.logitScale.device !== 'cpu') return;
  for (const module of model.namedModules().values()) if (isPackable(module)) module.pack(dtype);
}
