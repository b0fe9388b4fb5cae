import {
  add,
  arange,
  cat,
  crossEntropy,
  div,
  eye,
  matmul,
  mul,
  normalize,
  sub,
  transpose,
  type Tensor,
} from '@bantam/torch';

/**
 * SimCLR's loss (Chen et al. 2020, 2002.05709, equation 1) as SLIP has it (Mu et al. 2021, 2112.12750):
 * the mean over both views of CE([a·bᵀ/τ | a·aᵀ/τ without the diagonal], i), with a and b normalised here.
 *
 * @param a - features of one view [B, D]
 * @param b - features of the other
 * @returns a scalar; ln(2B − 1) if all features are equal
 */
export function simclrLoss(
  a: Tensor,
  b: Tensor,
  { temperature = 0.1 }: { temperature?: number } = {},
): Tensor {
  const batch = a.dim(0);
  const { dtype, device } = a;
  const own = arange(batch, { device });
  const hidden = mul(eye(batch, { dtype, device }), 1e9);
  const [x, y] = [normalize(a), normalize(b)];
  const logits = (p: Tensor, q: Tensor) => div(matmul(p, transpose(q, 0, 1)), temperature);
  const one = (p: Tensor, q: Tensor) =>
    crossEntropy(cat([logits(p, q), sub(logits(p, p), hidden)], 1), own);
  return mul(add(one(x, y), one(y, x)), 0.5);
}

/** {@link simclrLoss} if all features are equal: ln(2B − 1). */
export function collapsedSimclrLoss(batch: number): number {
  return Math.log(2 * batch - 1);
}
