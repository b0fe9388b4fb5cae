import { bmm, permute, reshape, softmax, transpose, mul, type Tensor } from '@bantam/torch';

/**
 * softmax(q·kᵀ/√d)·v per head (Vaswani et al. 2017, eq. 1), as two batched products: q [B, Lq, W],
 * k and v [B, L, W] → [B, Lq, W].
 */
export function attend(q: Tensor, k: Tensor, v: Tensor, heads: number): Tensor {
  const [batch, rows, width] = q.shape as [number, number, number];
  const depth = width / heads;
  const split = (x: Tensor) =>
    reshape(permute(reshape(x, [batch, -1, heads, depth]), [0, 2, 1, 3]), [
      batch * heads,
      -1,
      depth,
    ]);
  const scores = bmm(mul(split(q), depth ** -0.5), transpose(split(k), 1, 2));
  const mixed = reshape(bmm(softmax(scores, -1), split(v)), [batch, heads, rows, depth]);
  return reshape(permute(mixed, [0, 2, 1, 3]), [batch, rows, width]);
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
