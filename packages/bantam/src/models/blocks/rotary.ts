import {
  add,
  cat,
  dims,
  fromTypedArray,
  mul,
  narrow,
  reshape,
  to,
  type Device,
  type Tensor,
} from '@bantam/torch';

/** Rotary positions of a grid of patches. */
export interface RotaryGrid {
  /** G: patches along one side. */
  readonly grid: number;
  /** Patches along one side of the images that the angles are made for: positions are scaled to it. */
  readonly referenceGrid: number;
  /** Added to the index of a row or column. */
  readonly offset: number;
  /** Which axis the first half of a head turns by. */
  readonly order: 'yx' | 'xy';
  /** d: width of a head, a multiple of 4. */
  readonly headWidth: number;
  /** Tokens before the patches, which have no position. */
  readonly prefix: number;
}

/** Cosines and sines of every token, [P + G², d] each; a sine has the sign of its term. */
export interface RotaryTables {
  readonly cosines: Float32Array;
  readonly sines: Float32Array;
  readonly shape: readonly [number, number];
}

/** {@link RotaryTables} on a device. */
export interface RotaryPositions {
  readonly cosines: Tensor;
  readonly sines: Tensor;
}

/**
 * Angles p·ωₖ with ωₖ = 10000^(−k/(d/4)) and p = (i + offset)/G·G_ref, for a row or column i (Su et
 * al. 2021, "RoFormer", eq. 34, in two dimensions as EVA-02 has it, Fang et al. 2023). Elements 2k
 * and 2k + 1 of a head are a pair that turns by one angle: the first half of the pairs by the one
 * axis, the second by the other. Tokens without a position have angles of 0.
 */
export function rotaryTables({
  grid,
  referenceGrid,
  offset,
  order,
  headWidth,
  prefix,
}: RotaryGrid): RotaryTables {
  const quarter = headWidth / 4;
  const rows = prefix + grid ** 2;
  const cosines = new Float32Array(rows * headWidth).fill(1);
  const sines = new Float32Array(rows * headWidth);
  const position = (index: number) => ((index + offset) / grid) * referenceGrid;
  for (let patch = 0; patch < grid ** 2; patch++) {
    const [y, x] = [position(Math.floor(patch / grid)), position(patch % grid)];
    const axes = order === 'yx' ? [y, x] : [x, y];
    axes.forEach((along, axis) => {
      for (let k = 0; k < quarter; k++) {
        const angle = along * 10000 ** (-k / quarter);
        const first = (prefix + patch) * headWidth + 2 * (axis * quarter + k);
        cosines[first] = cosines[first + 1] = Math.cos(angle);
        sines[first] = -Math.sin(angle);
        sines[first + 1] = Math.sin(angle);
      }
    });
  }
  return { cosines, sines, shape: [rows, headWidth] };
}

/** The tables as tensors. */
export function rotaryPositions(
  { cosines, sines, shape }: RotaryTables,
  device: Device,
): RotaryPositions {
  const made = (values: Float32Array) => to(fromTypedArray(values, { shape }), { device });
  return { cosines: made(cosines), sines: made(sines) };
}

/**
 * Turns the pairs of each token's vector by its angles: (a, b) → (a·cos − b·sin, b·cos + a·sin).
 * [N, L, d] → [N, L, d], in float32 at least, then in the type of x.
 */
export function rotate(x: Tensor, { cosines, sines }: RotaryPositions): Tensor {
  const [rows, length, width] = dims(x, 3);
  const pairs = reshape(x, [rows, length, width / 2, 2]);
  const swapped = cat([narrow(pairs, 3, 1, 1), narrow(pairs, 3, 0, 1)], 3);
  const turned = mul(reshape(swapped, [rows, length, width]), sines);
  return to(add(mul(x, cosines), turned), { dtype: x.dtype });
}
