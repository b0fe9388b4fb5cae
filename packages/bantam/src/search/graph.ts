import { fromTypedArray, quantizeRows, scope, threads } from '@bantam/torch';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import type { GraphInfo } from './manifest.js';

/** The part of usearch's index that is used here. */
export interface UsearchIndex {
  add(keys: BigUint64Array, vectors: Int8Array, threads: number): void;
  /** For one query `counts` is absent, and `keys` are as many as were found. */
  search(vectors: Int8Array[], count: number, threads: number): UsearchMatches;
  size(): number;
  save(path: string): void;
  load(path: string): void;
  view(path: string): void;
}

interface UsearchMatches {
  readonly keys: BigUint64Array;
  readonly counts?: BigUint64Array;
}

/** A graph for approximate search, mapped from its file. */
export interface Graph {
  /** Rows that it holds: the first of the index. */
  readonly rows: number;
  readonly candidates: number;
  /** Rows of about the highest cosines with each of the queries (Q·D values), best first. */
  search(queries: Float32Array, candidates: number): number[][];
}

/** @throws BantamError with the remedy if the optional dependency usearch is missing. */
async function loadUsearch() {
  try {
    return await import('usearch');
  } catch {
    throw new BantamError(
      'Approximate search needs the package usearch, which is not installed or has no binary for this computer; run "npm install usearch@2.25.3", or search exactly with --exact.',
    );
  }
}

/** Neighbours of each row in the graph; usearch keeps twice as many in its lowest layer. */
export const defaultConnectivity = 16;
/** Candidates while a row is added. */
const expansionAdd = 128;

/** An empty graph of int8 vectors. */
export async function newGraph(width: number, connectivity: number): Promise<UsearchIndex> {
  const { Index, MetricKind, ScalarKind } = await loadUsearch();
  return new Index({
    dimensions: width,
    // Of int8 rows with a scale each the angle is left.
    metric: MetricKind.Cos,
    quantization: ScalarKind.I8,
    connectivity,
    expansion_add: expansionAdd,
    // The number of candidates that a search asks for decides.
    expansion_search: 1,
    multi: false,
  });
}

/** Maps the graph of an index. */
export async function viewGraph(
  { path, rows, connectivity, candidates }: GraphInfo & { readonly path: string },
  width: number,
): Promise<Graph> {
  const index = await newGraph(width, connectivity);
  index.view(path);
  if (index.size() !== rows) {
    throw new BantamError(
      `${path} holds ${index.size()} vectors and not ${rows}; build the graph anew with "bantam index".`,
    );
  }
  return {
    rows,
    candidates,
    search: (queries, count) => searchGraph(index, queries, width, count),
  };
}

/** Rows near each query, best first. */
export function searchGraph(
  index: UsearchIndex,
  queries: Float32Array,
  width: number,
  count: number,
): number[][] {
  const total = queries.length / width;
  const vectors = toInt8(queries, width);
  const { keys, counts } = index.search(
    Array.from({ length: total }, (_, row) => vectors.subarray(row * width, (row + 1) * width)),
    count,
    threads(),
  );
  return Array.from({ length: total }, (_, query) => {
    const length = counts === undefined ? keys.length : Number(at(counts, query));
    return Array.from(keys.subarray(query * count, query * count + length), Number);
  });
}

/** Rows of float32 [n, width] as int8, each with a scale of its own, which is dropped. */
export function toInt8(values: Float32Array, width: number): Int8Array {
  return scope(() => {
    const rows = fromTypedArray(values, { shape: [values.length / width, width], copy: false });
    return quantizeRows(rows).values.toTypedArray() as Int8Array;
  });
}
