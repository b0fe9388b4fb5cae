/** Tensors copied and gathered over a group, many in one collective. */
import { noGrad } from '../autograd.js';
import { at } from '../at.js';
import { empty } from '../ops/create.js';
import { copy_ } from '../ops/in-place.js';
import { clone, reshape } from '../ops/shape.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { bucketsOf, eachPart, flatten } from './buckets.js';
import type { ProcessGroup } from './group.js';

/** Gives tensors, the same list in every process, the values that they have in the process `root`. */
export async function broadcastAll(
  group: ProcessGroup,
  tensors: readonly Tensor[],
  root = 0,
): Promise<void> {
  const sizes = tensors.map(({ size }) => size);
  const buckets = bucketsOf(tensors);
  const flats = noGrad(() => buckets.map((bucket) => flatten(bucket, tensors, sizes)));
  await group.broadcast(flats, root);
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

/**
 * Copies of tensors that each of the other processes has under names of its own, in rank 0; nothing
 * elsewhere. The processes hold a bucket of 25 MiB of each other's at a time, and the caller frees the copies.
 */
export async function gatherTensors(
  group: ProcessGroup,
  own: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const described = [...own].map(([name, { shape, dtype, size }]) => ({
    name,
    shape,
    dtype,
    size,
  }));
  const found = await group.exchange(described);
  const tensors = [...own.values()];
  const gathered = new Map<string, Tensor>();
  for (const [rank, theirs] of found.entries()) {
    if (rank === 0) continue;
    const sizes = theirs.map(({ size }) => size);
    for (const bucket of bucketsOf(theirs)) {
      const { dtype, indices } = bucket;
      const elements = indices.reduce((sum, i) => sum + at(sizes, i), 0);
      const flat = noGrad(() =>
        rank === group.rank
          ? flatten(bucket, tensors, sizes)
          : empty([elements], { dtype, device: 'cpu' }),
      );
      await group.broadcast([flat], rank);
      if (group.rank === 0) {
        scope(() => {
          eachPart(bucket, flat, sizes, (i, part) => {
            const { name, shape } = at(theirs, i);
            gathered.set(name, keep(clone(reshape(part, shape))));
          });
        });
      }
      flat.dispose();
    }
  }
  return gathered;
}
