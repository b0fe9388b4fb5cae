import { setImmediate } from 'node:timers/promises';
import {
  cat,
  fromTypedArray,
  indexSelect,
  linear,
  narrow,
  packInt8,
  quantizeRows,
  scope,
  sort,
  split,
  to,
  topk,
  type Int8Rows,
  type Tensor,
} from '@bantam/torch';
import { at } from '../base/at.js';

/** Number format in which vectors are compared. The answers of all have exact fp32 scores. */
export type SearchPrecision = 'fp32' | 'bf16' | 'int8';

/** A row and its cosine with a query. */
export interface Candidate {
  readonly row: number;
  readonly score: number;
}

export interface NearestOptions {
  readonly k: number;
  /** Compares only with these rows, ascending; with all that are not removed by default. */
  readonly rows?: Int32Array;
}

/** Rows that are compared at once: 64 MiB of fp32 at 512 dimensions. */
const chunkRows = 32_768;
/** Rows that are brought to int8 at once. */
const sliceRows = 2048;

/** Rows in the search's number format, and what is added to their scores. */
interface Chunk {
  readonly start: number;
  readonly weight: Tensor | Int8Rows | undefined;
  /** −∞ for rows that are removed; absent if none is. */
  readonly bias: Tensor | undefined;
}

/**
 * Exact search: the cosines of queries with every row, as one matrix product per chunk of rows,
 * and the k highest of each. With bf16 and int8 the products find more candidates than asked for, and
 * fp32 decides between them.
 */
export class ExactSearch {
  readonly #images: Tensor;
  readonly #precision: SearchPrecision;
  readonly #chunks: readonly Chunk[];

  /**
   * @param images - [N, D] float32, rows of length 1; perhaps a mapped file. Not owned.
   * @param isRemoved - rows that no search finds.
   */
  constructor(
    images: Tensor,
    precision: SearchPrecision = 'fp32',
    isRemoved: (row: number) => boolean = () => false,
  ) {
    this.#images = images;
    this.#precision = precision;
    const count = Math.ceil(images.dim(0) / chunkRows);
    this.#chunks = Array.from({ length: count }, (_, index) => {
      const start = index * chunkRows;
      const length = Math.min(chunkRows, images.dim(0) - start);
      return {
        start,
        weight: scope(() => this.#convert(narrow(images, 0, start, length))),
        bias: scope(() => this.#removalBias(start, length, isRemoved)),
      };
    });
  }

  /** The k rows with the highest cosines for each query, best first; of equals the first row. */
  async nearest(queries: Tensor, { k, rows }: NearestOptions): Promise<Candidate[][]> {
    const isExact = this.#precision === 'fp32' || rows !== undefined;
    const wanted = isExact ? k : Math.max(4 * k, k + 32);
    const best = Array.from({ length: queries.dim(0) }, () => new BestRows(wanted));
    for (const scored of rows === undefined ? this.#all(queries) : this.#some(queries, rows)) {
      collect(scored, best, { wanted, isExact });
      scored.scores.dispose();
      // Other work runs between the chunks of a large index.
      await setImmediate();
    }
    return best.map((found, query) => {
      const candidates = found.sorted();
      return isExact
        ? candidates.slice(0, k)
        : this.rescore(queries, query, candidates).slice(0, k);
    });
  }

  /** Candidates with their exact cosines, best first. */
  rescore(queries: Tensor, query: number, candidates: readonly Candidate[]): Candidate[] {
    if (candidates.length === 0) return [];
    const scores = scope(() => {
      const index = BigInt64Array.from(candidates, ({ row }) => BigInt(row));
      const rows = indexSelect(this.#images, 0, fromTypedArray(index));
      return linear(narrow(queries, 0, query, 1), rows).toTypedArray() as Float32Array;
    });
    return candidates
      .map(({ row }, index) => ({ row, score: at(scores, index) }))
      .sort((a, b) => b.score - a.score || a.row - b.row);
  }

  /** The vector of a row. */
  row(row: number): Float32Array {
    return scope(() => narrow(this.#images, 0, row, 1).toTypedArray() as Float32Array);
  }

  dispose(): void {
    for (const { weight, bias } of this.#chunks) {
      bias?.dispose();
      if (weight === undefined) continue;
      const tensors = 'parts' in weight ? [...weight.parts, weight.scale] : [weight];
      for (const tensor of tensors) tensor.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  *#all(queries: Tensor): Generator<ScoredRows, void, undefined> {
    for (const { start, weight, bias } of this.#chunks) {
      const length = Math.min(chunkRows, this.#images.dim(0) - start);
      const scores = scope(() => {
        const rows = weight ?? narrow(this.#images, 0, start, length);
        const x = this.#precision === 'bf16' ? to(queries, { dtype: 'bfloat16' }) : queries;
        return to(linear(x, rows, bias), { dtype: 'float32' });
      });
      yield { scores, rowOf: (column) => start + column };
    }
  }

  *#some(queries: Tensor, rows: Int32Array): Generator<ScoredRows, void, undefined> {
    for (let start = 0; start < rows.length; start += chunkRows) {
      const part = rows.subarray(start, start + chunkRows);
      const scores = scope(() => {
        const index = fromTypedArray(BigInt64Array.from(part, BigInt));
        return linear(queries, indexSelect(this.#images, 0, index));
      });
      yield { scores, rowOf: (column) => at(part, column) };
    }
  }

  #convert(rows: Tensor): Tensor | Int8Rows | undefined {
    if (this.#precision === 'fp32') return undefined;
    if (this.#precision === 'bf16') return to(rows, { dtype: 'bfloat16' });
    // In slices, as the steps in between take several times the memory of the rows.
    const slices = split(rows, sliceLengths(rows.dim(0))).map((slice) =>
      scope(() => quantizeRows(slice)),
    );
    const values = cat(slices.map((slice) => slice.values));
    return { parts: [packInt8(values)], scale: cat(slices.map(({ scale }) => scale)) };
  }

  #removalBias(
    start: number,
    length: number,
    isRemoved: (row: number) => boolean,
  ): Tensor | undefined {
    const bias = new Float32Array(length);
    let removed = 0;
    for (let i = 0; i < length; i++) {
      if (!isRemoved(start + i)) continue;
      bias[i] = -Infinity;
      removed++;
    }
    if (removed === 0) return undefined;
    const tensor = fromTypedArray(bias);
    return this.#precision === 'bf16' ? to(tensor, { dtype: 'bfloat16' }) : tensor;
  }
}

function sliceLengths(rows: number): number[] {
  const count = Math.ceil(rows / sliceRows);
  return Array.from({ length: count }, (_, i) => Math.min(sliceRows, rows - i * sliceRows));
}

/** Scores [Q, C] of some rows. */
interface ScoredRows {
  readonly scores: Tensor;
  readonly rowOf: (column: number) => number;
}

/** Adds the best of a chunk to those of each query. */
function collect(
  { scores, rowOf }: ScoredRows,
  best: readonly BestRows[],
  { wanted, isExact }: { readonly wanted: number; readonly isExact: boolean },
): void {
  const columns = scores.dim(1);
  const count = Math.min(wanted + 1, columns);
  const { values, indices } = scope(() => {
    const ranked = topk(scores, count);
    const found = read(ranked);
    // Which of equal scores topk takes is not defined; of exact ones it has to be the first.
    if (!isExact || count === columns || !isTiedAt(found.values, count)) return found;
    const stable = sort(scores, { descending: true });
    return read({
      values: narrow(stable.values, 1, 0, count),
      indices: narrow(stable.indices, 1, 0, count),
    });
  });
  for (const [query, rows] of best.entries()) {
    for (let i = query * count; i < (query + 1) * count; i++) {
      const score = at(values, i);
      if (score === -Infinity) continue;
      rows.add({ row: rowOf(Number(at(indices, i))), score });
    }
  }
}

function read({ values, indices }: { values: Tensor; indices: Tensor }) {
  return {
    values: values.toTypedArray() as Float32Array,
    indices: indices.toTypedArray() as BigInt64Array,
  };
}

/** True if the last two of the `count` values of any query are equal. */
function isTiedAt(values: Float32Array, count: number): boolean {
  if (count < 2) return false;
  for (let end = count; end <= values.length; end += count) {
    if (values[end - 1] === values[end - 2]) return true;
  }
  return false;
}

/** The best rows so far of one query. */
class BestRows {
  readonly #wanted: number;
  #rows: Candidate[] = [];

  constructor(wanted: number) {
    this.#wanted = wanted;
  }

  add(candidate: Candidate): void {
    this.#rows.push(candidate);
    if (this.#rows.length > 8 * this.#wanted + 64) this.#rows = this.sorted();
  }

  sorted(): Candidate[] {
    return this.#rows.sort((a, b) => b.score - a.score || a.row - b.row).slice(0, this.#wanted);
  }
}
