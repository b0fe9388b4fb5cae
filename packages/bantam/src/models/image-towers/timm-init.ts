import { Linear, truncatedNormalInit, zerosInit, type LinearOptions } from '@bantam/torch';

/** A linear layer as timm's transformers start it: weights N(0, 0.02²) cut at ±2, no bias. */
export function timmLinear(options: LinearOptions): Linear {
  const layer = new Linear(options);
  truncatedNormalInit(layer.weight, options.generator, { std: 0.02 });
  if (layer.bias !== null) zerosInit(layer.bias);
  return layer;
}
