import { MultiheadAttention } from './attention.js';
import { Int8Weight } from './int8-weight.js';
import { Linear } from './linear.js';
import type { Module } from './module.js';
import type { Parameter } from './parameter.js';

/**
 * Puts the weights of the linear layers in a module, those of its attentions included, into int8, in
 * place: see {@link quantizeRows} and {@link linearInt8}. The float weights are freed. The module is
 * then for inference only.
 *
 * @param included - Which layers, by their names in `namedModules()`. Default: all.
 * @returns The names.
 */
export function quantizeLinears(
  module: Module,
  included: (name: string) => boolean = () => true,
): string[] {
  const names: string[] = [];
  for (const [name, layer] of module.namedModules()) {
    if (!included(name)) continue;
    if (layer instanceof MultiheadAttention) {
      layer.inProjWeight = quantized(layer.inProjWeight, 3);
    } else if (layer instanceof Linear) {
      layer.weight = quantized(layer.weight, 1);
    } else {
      continue;
    }
    names.push(name);
  }
  return names;
}

function quantized(weight: Parameter, parts: number): Parameter {
  if (weight instanceof Int8Weight) return weight;
  const result = new Int8Weight(weight, { parts });
  weight.dispose();
  return result;
}
