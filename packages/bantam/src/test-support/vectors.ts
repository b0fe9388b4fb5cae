import { at } from '../base/at.js';
import { CounterRng } from '../data/index.js';

/** Rows of length 1 around a few centres: [rows, width] in one array, the same for the same seed. */
export function clusteredVectors(rows: number, width: number, seed = 0): Float32Array {
  const values = new Float32Array(rows * width);
  const centre = new CounterRng({ seed: 7, purpose: 'centres', epoch: 0 });
  const centres = Float32Array.from({ length: 20 * width }, () => centre.normal());
  const rng = new CounterRng({ seed, purpose: 'rows', epoch: 0 });
  for (let row = 0; row < rows; row++) {
    const from = rng.integer(20) * width;
    const own = values.subarray(row * width, (row + 1) * width);
    for (let i = 0; i < width; i++) own[i] = at(centres, from + i) + 0.5 * rng.normal();
    const length = Math.hypot(...own);
    for (let i = 0; i < width; i++) own[i] = at(own, i) / length;
  }
  return values;
}

/** One row of a matrix in one array. */
export function rowOf(values: Float32Array, row: number, width: number): Float32Array {
  return values.subarray(row * width, (row + 1) * width);
}

/** The k rows with the highest cosines by plain loops, of equals the first. */
export function bruteForce(
  values: Float32Array,
  query: Float32Array,
  k: number,
  passes: (row: number) => boolean = () => true,
): { readonly row: number; readonly score: number }[] {
  const width = query.length;
  return Array.from({ length: values.length / width }, (_, row) => {
    let score = 0;
    for (let i = 0; i < width; i++) {
      score += at(values, row * width + i) * at(query, i);
    }
    return { row, score };
  })
    .filter(({ row }) => passes(row))
    .sort((a, b) => b.score - a.score || a.row - b.row)
    .slice(0, k);
}
