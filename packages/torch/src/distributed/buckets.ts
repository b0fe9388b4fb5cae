/** Tensors that travel as one. */
import { at } from '../at.js';
import { dtypeBytes, type DType } from '../dtype.js';
import { zeros } from '../ops/create.js';
import { cat, detach, narrow, reshape, to } from '../ops/shape.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

/** Bytes of a bucket, as PyTorch's DistributedDataParallel has them. */
const bucketBytes = 25 * 2 ** 20;

/** Tensors of one type that travel as one. */
export interface Bucket {
  readonly dtype: DType;
  readonly indices: number[];
  bytes: number;
}

/** Puts tensors into buckets, in their order. */
export function bucketsOf(tensors: readonly Pick<Tensor, 'dtype' | 'size'>[]): Bucket[] {
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
export function flatten(
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
export function eachPart(
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
