/** Gradients summed and tensors copied over a group, many in one collective. */
import { noGrad } from '../autograd.js';
import { at } from '../at.js';
import { dtypeBytes, type DType } from '../dtype.js';
import { zeros } from '../ops/create.js';
import { copy_ } from '../ops/in-place.js';
import { cat, clone, detach, narrow, reshape, to } from '../ops/shape.js';
import { scope } from '../scope.js';
import { fromTypedArray, type Tensor } from '../tensor.js';
import type { ProcessGroup } from './group.js';

/** Bytes of a bucket, as PyTorch's DistributedDataParallel has them. */
const bucketBytes = 25 * 2 ** 20;

/** Tensors of one type that travel as one. */
interface Bucket {
  readonly dtype: DType;
  readonly indices: number[];
  bytes: number;
}

function bucketsOf(tensors: readonly Pick<Tensor, 'dtype' | 'size'>[]): Bucket[] {
  const open = new Map<DType, Bucket>();
  const buckets: Bucket[] = [];
  for (const [i, { dtype, size }] of tensors.entries()) {
    const bytes = size * dtypeBytes(dtype);
    let bucket = open.get(dtype);
    if (bucket === undefined || bucket.bytes + bytes > bucketBytes) {
      bucket = { dtype, indices: [], bytes: 0 };
      open.set(dtype, bucket);
      buckets.push(bucket);
    }
    bucket.indices.push(i);
    bucket.bytes += bytes;
  }
  return buckets;
}

/** The elements of a bucket's tensors one after the other, in memory of the CPU; zeros where there is none. */
function flatten(
  { indices, dtype }: Bucket,
  tensors: readonly (Tensor | null)[],
  sizes: readonly number[],
): Tensor {
  return scope(() => {
    const parts = indices.map((i) => {
      const tensor = tensors[i];
      if (tensor === null || tensor === undefined)
        return zeros([at(sizes, i)], { dtype, device: 'cpu' });
      return to(reshape(detach(tensor), [-1]), { device: 'cpu' });
    });
    return cat(parts);
  });
}

/** Calls `use` with the part of a bucket that belongs to each of its tensors. */
function eachPart(
  { indices }: Bucket,
  flat: Tensor,
  sizes: readonly number[],
  use: (index: number, part: Tensor) => void,
): void {
  let start = 0;
  for (const i of indices) {
    const size = at(sizes, i);
    use(i, narrow(flat, 0, start, size));
    start += size;
  }
}

/**
 * Replaces the gradients of parameters, the same list in every process, by their sums over the group; a parameter
 * without gradient in one process has that of the others. They travel in buckets of 25 MiB
 * (Li et al. 2020, "PyTorch Distributed", section 3.2), and take as much memory once more.
 */
export async function sumGradients(
  group: ProcessGroup,
  parameters: readonly Tensor[],
): Promise<void> {
  const { buckets, flats, has } = noGrad(() => {
    const made = bucketsOf(parameters);
    const sizes = parameters.map(({ size }) => size);
    return scope(() => {
      const gradients = parameters.map(({ grad }) => grad);
      return {
        buckets: made,
        flats: made.map((bucket) => flatten(bucket, gradients, sizes)),
        has: fromTypedArray(Float32Array.from(gradients, (grad) => Number(grad !== null))),
      };
    });
  });
  await group.allReduce([has, ...flats]);
  const there = has.toArray();
  const sizes = parameters.map(({ size }) => size);
  noGrad(() => {
    scope(() => {
      for (const [b, bucket] of buckets.entries()) {
        eachPart(bucket, at(flats, b), sizes, (i, part) => {
          if (at(there, i) === 0) return;
          const parameter = at(parameters, i);
          const { grad, shape, device } = parameter;
          if (grad === null) parameter.grad = clone(to(reshape(part, shape), { device }));
          else copy_(grad, reshape(part, grad.shape));
        });
      }
    });
  });
  for (const tensor of [has, ...flats]) tensor.dispose();
}

/** Gives tensors, the same list in every process, the values that they have in rank 0. */
export async function broadcastAll(group: ProcessGroup, tensors: readonly Tensor[]): Promise<void> {
  const sizes = tensors.map(({ size }) => size);
  const buckets = bucketsOf(tensors);
  const flats = noGrad(() => buckets.map((bucket) => flatten(bucket, tensors, sizes)));
  await group.broadcast(flats);
  noGrad(() => {
    scope(() => {
      for (const [b, bucket] of buckets.entries()) {
        eachPart(bucket, at(flats, b), sizes, (i, part) => {
          const tensor = at(tensors, i);
          copy_(tensor, reshape(part, tensor.shape));
        });
      }
    });
  });
  for (const flat of flats) flat.dispose();
}
