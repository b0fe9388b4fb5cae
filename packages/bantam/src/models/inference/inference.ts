import {
  hasAmx,
  Linear,
  MultiheadAttention,
  packLinears,
  type FloatDType,
  type Module,
} from '@bantam/torch';
import { isInBlock } from './block-layers.js';
import type { Clip } from '../clip.js';

/** A part of a tower that has a form of its own for inference. */
export interface Packable {
  /** Takes that form in place, to compute in `dtype` on the CPU. */
  pack(dtype: FloatDType): void;
}

function isPackable(module: Module): module is Module & Packable {
  return 'pack' in module;
}

/**
 * Brings both towers into their form for inference on the CPU, in place: batch norms and layer scales of
 * convolutional towers merged into the weights, and bias, activation and shortcut in one operator with
 * the product before them; the weights of blocks' linear layers in the order in which the processor
 * reads them fastest. Layers in int8 stay as they are. The model is then neither for training nor for
 * saving.
 */
export function packModel({ visual, text, logitScale }: Clip, dtype: FloatDType): void {
  if (logitScale.device !== 'cpu') return;
  // There Bantam's own products read weights as they are.
  const packsLinears = !(dtype === 'bfloat16' && hasAmx());
  for (const tower of [visual, text]) {
    for (const [name, module] of tower.namedModules()) {
      if (isPackable(module)) module.pack(dtype);
      else if (packsLinears && isInBlock(name) && isLinear(module)) packLinears([module], dtype);
    }
  }
}

function isLinear(module: Module): module is Linear | MultiheadAttention {
  return module instanceof Linear || module instanceof MultiheadAttention;
}
