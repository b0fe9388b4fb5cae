import { expand, gather, narrow, unsqueeze, type Tensor } from '@bantam/torch';

/** One place of each row of [B, L, W]: the same for all, or int64 [B, 1]. */
export type Places = number | Tensor;

/** The vectors at the given place of each row: [B, L, W] → [B, 1, W]. */
export function takePlaces(x: Tensor, places: Places): Tensor {
  if (typeof places === 'number') return narrow(x, 1, places, 1);
  return gather(x, 1, expand(unsqueeze(places, -1), [-1, -1, x.dim(2)]));
}
