import { noGrad } from '../autograd.js';
import { add, clamp, mul, pow } from '../ops/arithmetic.js';
import { zeros } from '../ops/create.js';
import { mulEach_, normEach } from '../ops/each.js';
import { norm } from '../ops/reduce.js';
import { stack } from '../ops/shape.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

function gradientsOf(parameters: Iterable<Tensor>): Tensor[] {
  return [...parameters].flatMap(({ grad }) => (grad === null ? [] : [grad]));
}

/**
 * Scales all gradients by min(1, max/(‖g‖ + 1e-6)), ‖g‖ the L2 norm of all of them together, and
 * returns ‖g‖ (Pascanu et al. 2013, algorithm 1). An infinite `max` only measures.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, max: number): number {
  return scope(() =>
    noGrad(() => {
      const gradients = gradientsOf(parameters);
      if (gradients.length === 0) return 0;
      const total = norm(stack(normEach(gradients))).item();
      const factor = max / (total + 1e-6);
      // Negated, so that NaN reaches the gradients, as it does in PyTorch.
      if (!(factor >= 1)) mulEach_(gradients, factor);
      return total;
    }),
  );
}

/**
 * {@link clipGradNorm} without waiting for the device: ‖g‖ is a scalar of it, and it multiplies the
 * gradients by the factor even where that is 1.
 */
export function clipGradNormOnDevice(parameters: Iterable<Tensor>, max: number): Tensor {
  return scope(() =>
    noGrad(() => {
      const gradients = gradientsOf(parameters);
      if (gradients.length === 0) return zeros([]);
      const total = norm(stack(normEach(gradients)));
      if (max < Infinity) {
        mulEach_(gradients, clamp(mul(pow(add(total, 1e-6), -1), max), { max: 1 }));
      }
      return total;
    }),
  );
}
