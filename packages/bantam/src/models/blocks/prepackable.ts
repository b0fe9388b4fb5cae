import type { FloatDType, Module } from '@bantam/torch';

/** A module that has an inference form of its own. */
export interface Prepackable {
  /** Takes that form in place, to compute in `dtype` on the CPU. */
  prepack(dtype: FloatDType): void;
}

/** True if a module has an inference form of its own. */
export function isPrepackable(module: Module): module is Module & Prepackable {
  return 'prepack' in module;
}
