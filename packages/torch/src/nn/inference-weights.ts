import { noGrad } from '../autograd.js';
import { empty } from '../ops/create.js';
import { packInt8, quantizeRows, type Int8Rows } from '../ops/int8.js';
import { narrow } from '../ops/shape.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { Parameter } from './parameter.js';

/** Options of {@link Int8Weight}. */
export interface Int8WeightOptions {
  /** Parts of equal numbers of rows of which some can be used alone, see {@link Int8Weight.rows}. */
  parts?: number;
}

/**
 * The weight [out, in] of a linear layer in int8, for inference: a quarter of float32's memory. As a
 * tensor it has only its shape; {@link linear} reads the numbers.
 */
export class Int8Weight extends Parameter implements Int8Rows {
  readonly parts: readonly Tensor[];
  readonly scale: Tensor;

  /** Makes it of a floating-point weight, which stays unchanged, by {@link quantizeRows}. */
  constructor(weight: Tensor, { parts = 1 }: Int8WeightOptions = {}) {
    super(empty(weight.shape, { dtype: 'int8', device: 'meta' }), { requiresGrad: false });
    const { packed, scale } = scope(() =>
      noGrad(() => {
        const { values, scale } = quantizeRows(weight);
        const rows = weight.dim(0) / parts;
        const packed = Array.from({ length: parts }, (_, part) =>
          packInt8(narrow(values, 0, part * rows, rows)),
        );
        return { packed, scale };
      }),
    );
    this.parts = packed.map(keep);
    this.scale = keep(scale);
  }

  /** Some of the parts, as views. */
  rows(start: number, count: number): Int8Rows {
    const size = this.dim(0) / this.parts.length;
    return {
      parts: this.parts.slice(start, start + count),
      scale: narrow(this.scale, 0, start * size, count * size),
    };
  }

  override dispose(): void {
    super.dispose();
    for (const part of this.parts) part.dispose();
    this.scale.dispose();
  }
}

/**
 * A weight prepacked for inference: fused with the following layer, or in the memory layout that is
 * fastest on the CPU. As a tensor it has only its shape and type; fused operators read the numbers.
 */
export class PackedWeight extends Parameter {
  readonly packed: Tensor;

  /** Makes it of a weight, which stays unchanged. */
  constructor(weight: Tensor, pack: (weight: Tensor) => Tensor) {
    super(empty(weight.shape, { dtype: weight.dtype, device: 'meta' }), { requiresGrad: false });
    this.packed = keep(scope(() => noGrad(() => pack(weight))));
  }

  override dispose(): void {
    super.dispose();
    this.packed.dispose();
  }
}
