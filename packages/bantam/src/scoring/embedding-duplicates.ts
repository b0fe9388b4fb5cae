import {
  fromTypedArray,
  indexSelect,
  keep,
  matmul,
  scope,
  topk,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { at } from '../base/at.js';

/** Rows that are compared with all leaders at a time. */
const blockRows = 1024;

export interface EmbeddingDuplicatesOptions {
  /** Length of a feature. */
  readonly width: number;
  /** Cosine from which on two images are duplicates. */
  readonly cosine: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Groups images by their features: in order, each joins the earlier leader with the highest cosine,
 * if that reaches the threshold, or leads a group of its own. The comparison is exact, with every
 * leader: SemDeDup (Abbas et al. 2023, arXiv 2303.09540) compares within clusters only. Cost: up to
 * n² · D FLOPs.
 *
 * @param readRows reads the features of rows `start` to `end`, [end − start, D], float32, rows of
 * length 1.
 * @returns the leader of each row, its own index for leaders.
 */
export async function groupByEmbedding(
  readRows: (start: number, end: number) => Float32Array,
  count: number,
  { width, cosine, onProgress }: EmbeddingDuplicatesOptions,
): Promise<Int32Array> {
  const leaders = Int32Array.from({ length: count }, (_, index) => index);
  /** Features of earlier leaders, block by block, and their rows. */
  const earlier: { features: Tensor; rows: Int32Array }[] = [];
  try {
    for (let start = 0; start < count; start += blockRows) {
      const end = Math.min(count, start + blockRows);
      const features = readRows(start, end);
      scope(() => {
        const block = fromTypedArray(features, { shape: [end - start, width] });
        const best = new Float64Array(end - start).fill(-Infinity);
        for (const { features: others, rows } of earlier) {
          scope(() => {
            const { values, indices } = topk(matmul(block, transpose(others, 0, 1)), 1);
            const cosines = values.toTypedArray() as Float32Array;
            const columns = indices.toTypedArray() as BigInt64Array;
            for (const [i, value] of cosines.entries()) {
              if (value < cosine || value <= at(best, i)) continue;
              best[i] = value;
              leaders[start + i] = at(rows, Number(at(columns, i)));
            }
          });
        }
        const within = matmul(block, transpose(block, 0, 1)).toTypedArray() as Float32Array;
        const own: number[] = [];
        for (let i = 0; i < end - start; i++) {
          for (const j of own) {
            const value = at(within, i * (end - start) + j);
            if (value < cosine || value <= at(best, i)) continue;
            best[i] = value;
            leaders[start + i] = start + j;
          }
          if (at(best, i) === -Infinity) own.push(i);
        }
        if (own.length === 0) return;
        const index = fromTypedArray(BigInt64Array.from(own, BigInt));
        earlier.push({
          features: keep(indexSelect(block, 0, index)),
          rows: Int32Array.from(own, (i) => start + i),
        });
      });
      onProgress?.(end, count);
      await new Promise(setImmediate);
    }
  } finally {
    for (const { features } of earlier) features.dispose();
  }
  return leaders;
}
