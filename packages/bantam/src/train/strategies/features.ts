/** Helpers for the tensors that strategies hand from encoding to losses. */
import { add, fromTypedArray, mean, normalize, to, type Device, type Tensor } from '@bantam/torch';
import type { Encoded } from '../../models/index.js';
import type { Features, Losses, Samples } from './strategy.js';

/** The tensor of that name. */
export function requireTensor(tensors: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = tensors[name];
  if (found === undefined) throw new RangeError(`There is no '${name}' among the tensors.`);
  return found;
}

/** At least float32, whatever precision the towers ran in. */
export function inFullPrecision(features: Tensor): Tensor {
  return features.dtype === 'float64' ? features : to(features, { dtype: 'float32' });
}

/** Unit length, in full precision. */
export function toUnit(features: Tensor): Tensor {
  return normalize(inFullPrecision(features));
}

/**
 * Numbers the samples so that equal captions have equal numbers, int64 [B] on a device; undefined if all
 * differ.
 */
export function captionGroups({ captions }: Samples, device: Device): Tensor | undefined {
  const numbers = new Map<string, number>();
  const groups = captions.map((caption) => {
    const number = numbers.get(caption) ?? numbers.size;
    numbers.set(caption, number);
    return BigInt(number);
  });
  if (numbers.size === captions.length) return undefined;
  return fromTypedArray(BigInt64Array.from(groups), { device });
}

/** Index of each sample in the source, int64 [B] on a device. */
export function indexTensor(indices: Int32Array, device: Device): Tensor {
  return fromTypedArray(BigInt64Array.from(indices, BigInt), { device });
}

/** The towers' auxiliary losses, such as those of routers, one value per sample; {} without any. */
export function auxiliaryFeature(encoded: readonly Pick<Encoded, 'auxiliaryLoss'>[]): Features {
  const [first, ...rest] = encoded.flatMap(({ auxiliaryLoss }) => auxiliaryLoss ?? []);
  return first === undefined ? {} : { auxiliary: rest.reduce(add, first) };
}

/** The loss of {@link auxiliaryFeature}: its mean. */
export function auxiliaryLoss({ auxiliary }: { auxiliary?: Tensor | undefined }): Losses {
  return auxiliary === undefined ? {} : { auxiliary: mean(auxiliary) };
}
