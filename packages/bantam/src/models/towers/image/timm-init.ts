import {
  Linear,
  truncatedNormalInit,
  zerosInit,
  type Conv2d,
  type Generator,
  type LinearOptions,
} from '@bantam/torch';

/** A linear layer as timm's transformers start it: weights N(0, 0.02²) cut at ±2, no bias. */
export function timmLinear(options: LinearOptions): Linear {
  const layer = new Linear(options);
  truncatedNormalInit(layer.weight, options.generator, { std: 0.02 });
  if (layer.bias !== null) zerosInit(layer.bias);
  return layer;
}

/** Starts a convolution as timm's ConvNeXt does: weights N(0, 0.02²) cut at ±2, no bias. */
export function timmConv<Conv extends Conv2d>(conv: Conv, generator: Generator | null): Conv {
  truncatedNormalInit(conv.weight, generator, { std: 0.02 });
  zerosInit(conv.bias);
  return conv;
}
