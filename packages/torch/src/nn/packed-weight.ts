import { noGrad } from '../autograd.js';
import { empty } from '../ops/create.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { Parameter } from './parameter.js';

/**
 * A weight in its form for inference: merged with what follows it, or in the order in which the processor
 * reads it fastest. As a tensor it has only its shape and type; fused operators read the numbers.
 */
export class PackedWeight extends Parameter {
  readonly packed: Tensor;

  /** Makes it of a weight, which stays as it is. */
  constructor(weight: Tensor, pack: (weight: Tensor) => Tensor) {
    super(empty(weight.shape, { dtype: weight.dtype, device: 'meta' }), { requiresGrad: false });
    this.packed = keep(scope(() => noGrad(() => pack(weight))));
  }

  override dispose(): void {
    super.dispose();
    this.packed.dispose();
  }
}
