/** Random tensors; each samples from the given generator. */
import { Operator } from '../operator.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { empty, emptyLike, type CreateOptions } from './create.js';

const normalInPlace = new Operator('aten::normal_');
const uniformInPlace = new Operator('aten::uniform_');
const bernoulliInPlace = new Operator('aten::bernoulli_', 'float');

/** Fills x with N(mean, std²). */
export function normal_(
  x: Tensor,
  generator: Generator,
  { mean = 0, std = 1 }: { mean?: number; std?: number } = {},
): Tensor {
  normalInPlace.inPlace(x, mean, std, generator);
  return x;
}

/** Fills x with U(low, high). */
export function uniform_(
  x: Tensor,
  generator: Generator,
  { low = 0, high = 1 }: { low?: number; high?: number } = {},
): Tensor {
  uniformInPlace.inPlace(x, low, high, generator);
  return x;
}

/** A tensor of N(0, 1). */
export function randn(
  shape: readonly number[],
  generator: Generator,
  options: CreateOptions = {},
): Tensor {
  return normal_(empty(shape, options), generator);
}

/** A tensor of U(0, 1). */
export function rand(
  shape: readonly number[],
  generator: Generator,
  options: CreateOptions = {},
): Tensor {
  return uniform_(empty(shape, options), generator);
}

/** Ones with probability p and zeros, of x's shape and type. */
export function bernoulli(x: Tensor, p: number, generator: Generator): Tensor {
  const sample = emptyLike(x);
  bernoulliInPlace.inPlace(sample, p, generator);
  return sample;
}
