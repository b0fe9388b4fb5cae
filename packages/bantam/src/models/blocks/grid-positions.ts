import { cat, narrow, permute, reshape, resize, to, type Tensor } from '@bantam/torch';

/** Options of {@link resizeGrid}. */
export interface GridOptions {
  /** P: rows before those of the grid, such as the class token's, which stay. */
  prefix: number;
  /** G′: positions along one side of the new grid. */
  grid: number;
}

/**
 * A table of the positions of a grid for another one, in float32 at least: [P + G², W] → [P + G′², W], or the
 * same with a first dimension of 1. Rows are interpolated bicubically, with antialias where the grid
 * shrinks, as in OpenCLIP. A table of the new size is returned unchanged.
 */
export function resizeGrid(table: Tensor, { prefix, grid }: GridOptions): Tensor {
  const [rows, width] = [table.dim(-2), table.dim(-1)];
  if (rows === prefix + grid ** 2) return table;
  const wide = table.dtype === 'float64' ? table : to(table, { dtype: 'float32' });
  const flat = reshape(wide, [rows, width]);
  const old = Math.round(Math.sqrt(rows - prefix));
  const square = reshape(narrow(flat, 0, prefix, old ** 2), [1, old, old, width]);
  const image = resize(permute(square, [0, 3, 1, 2]), [grid, grid], { mode: 'bicubic' });
  const list = reshape(permute(image, [0, 2, 3, 1]), [grid ** 2, width]);
  const whole = prefix === 0 ? list : cat([narrow(flat, 0, 0, prefix), list]);
  return reshape(whole, [...table.shape.slice(0, -2), prefix + grid ** 2, width]);
}

/**
 * Fixed position embeddings of a G×G grid, row by row: G²·width numbers. The first half of each
 * is of the column x, the other of the row y, each (sin(p·ω₀), …, cos(p·ω₀), …) with
 * ωₖ = 10000^(−k/(width/4)) (Vaswani et al. 2017, section 3.5, in two dimensions as He et al. 2022
 * have it; big_vision's differ in the denominator).
 */
export function sinCosPositions(grid: number, width: number): number[] {
  const quarter = width / 4;
  const omegas = Array.from({ length: quarter }, (_, k) => 10000 ** (-k / quarter));
  const half = (position: number) => [
    ...omegas.map((omega) => Math.sin(position * omega)),
    ...omegas.map((omega) => Math.cos(position * omega)),
  ];
  const axis = Array.from({ length: grid }, (_, position) => half(position));
  return axis.flatMap((row) => axis.flatMap((column) => [...column, ...row]));
}
