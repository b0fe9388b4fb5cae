/** Random tensors; each samples from the given generator. */
import { deviceType } from '../device.js';
import { Operator } from '../operator.js';
import { TorchError } from '../errors.js';
import type { Generator, RowRange } from '../random.js';
import type { Tensor } from '../tensor.js';
import { empty, emptyLike, type CreateOptions } from './create.js';
import { copy_ } from './in-place.js';
import { narrow, to } from './shape.js';

const normalInPlace = new Operator('aten::normal_');
const uniformInPlace = new Operator('aten::uniform_');
const bernoulliInPlace = new Operator('aten::bernoulli_', 'float');

/**
 * Fills x by `sample`. The CPU's generator fills memory of the CPU, whose numbers are copied where x is
 * elsewhere: what is sampled does not depend on the device. Nor does it depend on which rows of a whole x has.
 */
function sampleInto(x: Tensor, generator: Generator, sample: (target: Tensor) => void): Tensor {
  if (generator.rows !== null) return sampleRows(x, generator, generator.rows, sample);
  const onDevice = deviceType(x.device);
  if (onDevice === 'cpu' || onDevice === 'meta' || generator.device !== 'cpu') {
    sample(x);
    return x;
  }
  using numbers = empty(x.shape, { dtype: x.dtype, device: 'cpu' });
  sample(numbers);
  using moved = to(numbers, { device: x.device, wait: false });
  return copy_(x, moved);
}

/** Samples for all rows of the whole that x has a part of. */
function sampleRows(
  x: Tensor,
  generator: Generator,
  { start, length, total }: RowRange,
  sample: (target: Tensor) => void,
): Tensor {
  const [count = 0, ...rest] = x.shape;
  if (x.rank === 0 || count % length !== 0) {
    throw new TorchError(
      `Random numbers for ${length} of ${total} samples have a multiple of ${length} rows, not the shape [${x.shape.join(', ')}].`,
    );
  }
  const each = count / length;
  const device = generator.device === 'cpu' && deviceType(x.device) !== 'meta' ? 'cpu' : x.device;
  using whole = empty([each * total, ...rest], { dtype: x.dtype, device });
  sample(whole);
  using own = narrow(whole, 0, each * start, count);
  using moved = to(own, { device: x.device });
  return copy_(x, moved);
}

/** Fills x with N(mean, std²). */
export function normal_(
  x: Tensor,
  generator: Generator,
  { mean = 0, std = 1 }: { mean?: number; std?: number } = {},
): Tensor {
  return sampleInto(x, generator, (target) => {
    normalInPlace.inPlace(target, mean, std, generator);
  });
}

/** Fills x with U(low, high). */
export function uniform_(
  x: Tensor,
  generator: Generator,
  { low = 0, high = 1 }: { low?: number; high?: number } = {},
): Tensor {
  return sampleInto(x, generator, (target) => {
    uniformInPlace.inPlace(target, low, high, generator);
  });
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
  return sampleInto(emptyLike(x), generator, (target) => {
    bernoulliInPlace.inPlace(target, p, generator);
  });
}
