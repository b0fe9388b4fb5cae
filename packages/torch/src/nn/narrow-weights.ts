import type { FloatDType } from '../dtype.js';
import { MultiheadAttention } from './attention.js';
import { Conv2d } from './conv.js';
import { Int8Weight } from './int8-weight.js';
import { Linear } from './linear.js';
import type { Module } from './module.js';
import { PackedWeight } from './packed-weight.js';
import { converted, type Parameter } from './parameter.js';

/**
 * Keeps the weights of the linear layers, attentions and ungrouped convolutions in a module in another type, in
 * place. What autocast to that type would convert in each pass is converted once; results under it
 * stay the same bit for bit. Biases, norms and embeddings keep their type. The module is then for
 * inference only.
 *
 * @param included - Which layers, by their names in `namedModules()`. Default: all.
 */
export function narrowWeights(
  module: Module,
  dtype: FloatDType,
  included: (name: string) => boolean = () => true,
): void {
  const narrowed = (weight: Parameter): Parameter =>
    weight instanceof Int8Weight || weight instanceof PackedWeight
      ? weight
      : converted(weight, dtype);
  for (const [name, layer] of module.namedModules()) {
    if (!included(name)) continue;
    // Convolutions by groups may compute in float32 where that is faster.
    const product = layer instanceof Linear || (layer instanceof Conv2d && layer.groups === 1);
    if (product) layer.weight = narrowed(layer.weight);
    else if (layer instanceof MultiheadAttention) layer.inProjWeight = narrowed(layer.inProjWeight);
  }
}
