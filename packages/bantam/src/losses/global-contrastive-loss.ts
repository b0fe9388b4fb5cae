import {
  add,
  detach,
  exp,
  eye,
  div,
  isFinite,
  logsumexp,
  maskedFill,
  matmul,
  mean,
  mul,
  noGrad,
  stack,
  sub,
  sum,
  to,
  transpose,
  unsqueeze,
  where,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { scalarLike } from './logits.js';

/** Options of {@link globalContrastiveLoss}. */
export interface GlobalContrastiveOptions {
  /** ln u of the batch's images and texts [B] each; −∞ for a sample that was never seen. */
  logU: readonly [Tensor, Tensor];
  /** γ, the weight of this batch in the new estimates: (0, 1]. */
  gamma: number;
  /** τ, or τ of each image and of each text [B]. */
  temperature: Tensor | number | readonly [Tensor, Tensor];
  /** ρ, which keeps a learned temperature from growing small. Default 0. */
  rho?: number;
  epsilon?: number;
}

/** Result of {@link globalContrastiveLoss}. */
export interface GlobalContrastiveResult {
  /** A scalar. */
  loss: Tensor;
  /** The new estimates, without gradient. */
  logU: [Tensor, Tensor];
}

/**
 * The global contrastive loss of FastCLIP (Wei et al. 2024, 2407.01445). With g_i the mean over j ≠ i of
 * exp((s_ij − s_ii)/τ) and u ← (1 − γ)·u + γ·g, both as logarithms so that no τ overflows: value
 * mean[τ₁·(ln(ε + u₁) + ρ) + τ₂·(ln(ε + u₂) + ρ)], and the gradient of it in which ∂u is ∂g.
 *
 * @param image - X [B, D], rows of length 1, B ≥ 2
 * @param text - Y [B, D], rows of length 1
 */
export function globalContrastiveLoss(
  image: Tensor,
  text: Tensor,
  { logU, gamma, temperature, rho = 0, epsilon = 1e-14 }: GlobalContrastiveOptions,
): GlobalContrastiveResult {
  const batch = image.dim(0);
  if (batch < 2) throw new BantamError('The global contrastive loss needs two pairs or more.');
  const { device } = image;
  const [tauImage, tauText] =
    typeof temperature === 'object' && 'length' in temperature
      ? temperature
      : [scalarLike(image, temperature), scalarLike(image, temperature)];
  const similarities = matmul(image, transpose(text, 0, 1));
  const own = unsqueeze(sum(mul(image, text), { dim: 1 }), 1);
  const diagonal = to(eye(batch, { device }), { dtype: 'bool' });
  const side = (s: Tensor, tau: Tensor, before: Tensor): { loss: Tensor; after: Tensor } => {
    const exponents = div(sub(s, own), tau.rank === 0 ? tau : unsqueeze(tau, 1));
    const others = maskedFill(exponents, diagonal, -Infinity);
    const logG = sub(logsumexp(others, { dim: 1 }), Math.log(batch - 1));
    const [after, bound] = noGrad(() => {
      const mixed = stack([add(before, Math.log(1 - gamma)), add(logG, Math.log(gamma))]);
      const next = where(isFinite(before), logsumexp(mixed, { dim: 0 }), detach(logG));
      const floor = add(mul(next, 0), Math.log(epsilon));
      return [next, logsumexp(stack([next, floor]), { dim: 0 })] as const;
    });
    const ratio = exp(sub(logG, bound));
    // Its value is 0, its gradient that of g/(ε + u).
    const change = sub(ratio, detach(ratio));
    return { loss: mean(mul(tau, add(add(change, bound), rho))), after };
  };
  const images = side(similarities, tauImage, logU[0]);
  const texts = side(transpose(similarities, 0, 1), tauText, logU[1]);
  return { loss: add(images.loss, texts.loss), logU: [images.after, texts.after] };
}
