import type { Packing, Tensor } from '@bantam/torch';

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
