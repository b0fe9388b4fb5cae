import {
  expand,
  full,
  gather,
  narrow,
  reshape,
  unsqueeze,
  where,
  type Packing,
  type Tensor,
} from '@bantam/torch';

/** One position of each sequence of [B, L, W]: the same for all, or int64 [B, 1]. */
export type Positions = number | Tensor;

/** The vectors at the given position of each sequence: [B, L, W] → [B, 1, W]. */
export function gatherTokens(x: Tensor, positions: Positions): Tensor {
  if (typeof positions === 'number') return narrow(x, 1, positions, 1);
  return gather(x, 1, expand(unsqueeze(positions, -1), [-1, -1, x.dim(2)]));
}

/** Added to the scores of tokens before the softmax: 0, or −∞ for hidden ones; [B, 1, 1, L]. */
export function additiveMask(visible: Tensor): Tensor {
  const { device } = visible;
  const shown = full([], 0, { device });
  const hidden = full([], -Infinity, { device });
  return reshape(where(visible, shown, hidden), [visible.dim(0), 1, 1, visible.dim(1)]);
}

/** Fraction of the positions that must be padding for unpadding to be worth its copies. */
const leastPadding = 0.1;

/**
 * Layout of texts [B, L] without the padding after their ends, int64 [B, 1], which nothing in a
 * causal tower reads. Undefined if there is little padding, or off the CPU.
 */
export function unpadTexts(ids: Tensor, ends: Tensor): Packing | undefined {
  if (ids.device !== 'cpu') return undefined;
  const [batch, length] = [ids.dim(0), ids.dim(1)];
  const starts = [0];
  let total = 0;
  for (const end of ends.toArray()) starts.push((total += end + 1));
  return total <= (1 - leastPadding) * batch * length ? { starts, length } : undefined;
}
