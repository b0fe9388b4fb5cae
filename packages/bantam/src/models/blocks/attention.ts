import { bmm, permute, reshape, softmax, transpose, mul, add, type Tensor } from '@bantam/torch';

/** [B, L, W] → [B·heads, L, W/heads] */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, length, width] = x.shape as [number, number, number];
  const depth = width / heads;
  const apart = permute(reshape(x, [batch, length, heads, depth]), [0, 2, 1, 3]);
  return reshape(apart, [batch * heads, length, depth]);
}

/** The inverse of {@link splitHeads}. */
export function joinHeads(x: Tensor, heads: number): Tensor {
  const [rows, length, depth] = x.shape as [number, number, number];
  const batch = rows / heads;
  const together = permute(reshape(x, [batch, heads, length, depth]), [0, 2, 1, 3]);
  return reshape(together, [batch, length, heads * depth]);
}

/**
 * softmax(q·kᵀ/√d + bias)·v (Vaswani et al. 2017, eq. 1), as two batched products: q [N, Lq, d], k and
 * v [N, L, d], bias as it broadcasts to [N, Lq, L] → [N, Lq, d].
 */
export function attendHeads(q: Tensor, k: Tensor, v: Tensor, bias?: Tensor): Tensor {
  const scores = bmm(mul(q, q.dim(2) ** -0.5), transpose(k, 1, 2));
  return bmm(softmax(bias === undefined ? scores : add(scores, bias), -1), v);
}

/** {@link attendHeads} per head: q [B, Lq, W], k and v [B, L, W] → [B, Lq, W]. */
export function attend(q: Tensor, k: Tensor, v: Tensor, heads: number): Tensor {
  const split = (x: Tensor) => splitHeads(x, heads);
  return joinHeads(attendHeads(split(q), split(k), split(v)), heads);
}

/** Operations of {@link attend} for one sequence: 4·Lq·L·W. */
export function attendFlops({
  queries,
  tokens,
  width,
}: {
  queries: number;
  tokens: number;
  width: number;
}): number {
  return 4 * queries * tokens * width;
}
