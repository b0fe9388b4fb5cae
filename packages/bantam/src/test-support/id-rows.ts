import { fromTypedArray, type Tensor } from '@bantam/torch';

/** Rows of ids, filled up with 0. */
export function idRows(rows: readonly number[][], length = 0): Tensor {
  const columns = Math.max(length, ...rows.map((row) => row.length));
  const ids = new BigInt64Array(rows.length * columns);
  rows.forEach((row, i) => {
    ids.set(row.map(BigInt), i * columns);
  });
  return fromTypedArray(ids, { shape: [rows.length, columns] });
}
