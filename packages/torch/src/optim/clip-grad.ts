import { noGrad } from '../autograd.js';
import { mulEach_, normEach } from '../ops/each.js';
import { norm } from '../ops/reduce.js';
import { stack } from '../ops/shape.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

/**
 * Scales all gradients by min(1, max/(‖g‖ + 1e-6)), ‖g‖ the L2 norm of all of them together, and
 * returns ‖g‖ (Pascanu et al. 2013, algorithm 1). An infinite `max` only measures.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, max: number): number {
  return scope(() =>
    noGrad(() => {
      const gradients = [...parameters].flatMap(({ grad }) => (grad === null ? [] : [grad]));
      if (gradients.length === 0) return 0;
      const total = norm(stack(normEach(gradients))).item();
      const factor = max / (total + 1e-6);
      // Negated, so that NaN reaches the gradients, as it does in PyTorch.
      if (!(factor >= 1)) mulEach_(gradients, factor);
      return total;
    }),
  );
}
