import { fromTypedArray, normalize, to, type Tensor } from '@bantam/torch';
import type { Samples } from './strategy.js';

/** At least float32, whatever precision the towers ran in. */
export function inFullPrecision(features: Tensor): Tensor {
  return features.dtype === 'float64' ? features : to(features, { dtype: 'float32' });
}

/** Unit length, in full precision. */
export function toUnit(features: Tensor): Tensor {
  return normalize(inFullPrecision(features));
}

/**
 * Numbers the samples so that equal captions have equal numbers, int64 [B]; undefined where all
 * differ.
 */
export function captionGroups({ captions }: Samples): Tensor | undefined {
  const numbers = new Map<string, number>();
  const groups = captions.map((caption) => {
    const number = numbers.get(caption) ?? numbers.size;
    numbers.set(caption, number);
    return BigInt(number);
  });
  if (numbers.size === captions.length) return undefined;
  return fromTypedArray(BigInt64Array.from(groups));
}

/** Which samples of the source they are, int64 [B]. */
export function indexTensor(indices: Int32Array): Tensor {
  return fromTypedArray(BigInt64Array.from(indices, BigInt));
}
