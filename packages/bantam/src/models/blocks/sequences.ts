import { expand, gather, narrow, type Packing, type Tensor, unsqueeze } from '@bantam/torch';

/** One place of each row of [B, L, W]: the same for all, or int64 [B, 1]. */
export type Places = number | Tensor;

/** The vectors at the given place of each row: [B, L, W] → [B, 1, W]. */
export function takePlaces(x: Tensor, places: Places): Tensor {
  if (typeof places === 'number') return narrow(x, 1, places, 1);
  return gather(x, 1, expand(unsqueeze(places, -1), [-1, -1, x.dim(2)]));
}

/** Share of the places that must be padding for packing to be worth its copies. */
const leastPadding = 0.1;

/**
 * Where texts [B, L] lie without what stands behind their ends, int64 [B, 1], which nothing of a
 * causal tower reads; undefined where that is little, or not on the CPU.
 */
export function packTexts(ids: Tensor, ends: Tensor): Packing | undefined {
  if (ids.device !== 'cpu') return undefined;
  const [batch, length] = ids.shape as [number, number];
  const starts = [0];
  let total = 0;
  for (const end of ends.toArray()) starts.push((total += end + 1));
  return total <= (1 - leastPadding) * batch * length ? { starts, length } : undefined;
}
