import { setImmediate } from 'node:timers/promises';
import { fromTypedArray, gt, linear, narrow, nonzero, scope, type Tensor } from '@bantam/torch';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import type { Candidate } from './exact.js';
import type { VectorStore } from './store.js';

/** Two images whose vectors are close. */
export interface DuplicatePair {
  /** Rows of the index, the smaller one first. */
  readonly rows: readonly [number, number];
  readonly score: number;
}

export interface DuplicatesOptions {
  /** Lowest cosine of a pair. 0.95 by default. */
  readonly above?: number;
  /** Stops after so many seconds; what was compared by then is reported. No limit by default. */
  readonly seconds?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Result of a search for near-duplicates. */
export interface Duplicates {
  /** Closest first. */
  readonly pairs: readonly DuplicatePair[];
  /** Rows that are connected by pairs, the largest group first. */
  readonly groups: readonly (readonly number[])[];
  /** Fraction of all pairs that was compared; with a graph of the images whose neighbours were looked up. */
  readonly compared: number;
  /** True if a graph named the candidates: pairs are then missed as its recall tells. */
  readonly isApproximate: boolean;
}

/** Rows of a block of comparisons: 16 MB of scores. */
const block = { rows: 1024, columns: 4096 };
/** Neighbours that a graph is asked for, and images at a time. */
const lookUp = { neighbours: 32, batch: 256 };
const mostPairs = 2_000_000;
/** Rounding of a cosine in float32: equal images may have a little less than 1. */
const tolerance = 1e-6;
/** Images up to which every pair is compared even if there is a graph: about ten seconds of one core. */
const mostExact = 30_000;

/** Looks up the rows nearest to queries [Q, D]; `vectors` are their values. */
export type LookUp = (queries: Tensor, vectors: Float32Array, k: number) => Promise<Candidate[][]>;

/**
 * Pairs of images with a cosine of at least `above`. Without a graph every pair is compared: n²/2 cosines, as
 * matrix products. With a graph each image is compared with its 32 nearest, so that the time grows
 * with n alone.
 *
 * @throws BantamError if `above` is not between −1 and 1, or more than two million pairs are found.
 */
export async function findDuplicates(
  store: VectorStore,
  { above = 0.95, seconds = Infinity, onProgress }: DuplicatesOptions,
  lookUpRows: LookUp | undefined,
): Promise<Duplicates> {
  if (!(above > -1 && above <= 1)) {
    throw new BantamError(`Near-duplicates have a cosine of -1 to 1, not ${above}.`);
  }
  const deadline = performance.now() + 1000 * seconds;
  const isApproximate = lookUpRows !== undefined && store.size > mostExact;
  const pairs: DuplicatePair[] = [];
  const batches = isApproximate ? nearestPairs(store, above, lookUpRows) : allPairs(store, above);
  let compared = 0;
  for await (const batch of batches) {
    for (const pair of batch.pairs) pairs.push(pair);
    if (pairs.length > mostPairs) {
      throw new BantamError(
        `More than ${mostPairs} pairs have a cosine of ${above} or more; raise the limit.`,
      );
    }
    compared = batch.done / batch.total;
    onProgress?.(batch.done, batch.total);
    if (performance.now() > deadline) break;
    await setImmediate();
  }
  pairs.sort((a, b) => b.score - a.score || a.rows[0] - b.rows[0] || a.rows[1] - b.rows[1]);
  return { pairs, groups: groupsOf(pairs), compared: store.size < 2 ? 1 : compared, isApproximate };
}

interface Batch {
  readonly pairs: DuplicatePair[];
  readonly done: number;
  readonly total: number;
}

function* allPairs(store: VectorStore, above: number): Generator<Batch, void, undefined> {
  const { images, rows } = store;
  const total = (rows * (rows - 1)) / 2;
  let done = 0;
  for (let start = 0; start < rows; start += block.rows) {
    const height = Math.min(block.rows, rows - start);
    for (let from = start; from < rows; from += block.columns) {
      const width = Math.min(block.columns, rows - from);
      const found = scope(() => {
        const scores = linear(narrow(images, 0, start, height), narrow(images, 0, from, width));
        const positions = nonzero(gt(scores, above - tolerance)).toTypedArray() as BigInt64Array;
        return { positions, values: positions.length === 0 ? undefined : scores.toTypedArray() };
      });
      const pairs: DuplicatePair[] = [];
      for (let i = 0; i < found.positions.length; i += 2) {
        const [row, column] = [Number(at(found.positions, i)), Number(at(found.positions, i + 1))];
        const [a, b] = [start + row, from + column];
        if (a >= b || store.isRemoved(a) || store.isRemoved(b)) continue;
        const score = Number(found.values?.[row * width + column]);
        pairs.push({ rows: [a, b], score });
      }
      // Of a block on the diagonal what is above it counts.
      done += height * width - (from === start ? (height * (height + 1)) / 2 : 0);
      yield { pairs, done, total };
    }
  }
}

async function* nearestPairs(
  store: VectorStore,
  above: number,
  lookUpRows: LookUp,
): AsyncGenerator<Batch, void, undefined> {
  const { images, rows } = store;
  // A pair is found from both sides; rows are below 2^26.
  const seen = new Set<number>();
  for (let start = 0; start < rows; start += lookUp.batch) {
    const count = Math.min(lookUp.batch, rows - start);
    const part = scope(() => narrow(images, 0, start, count));
    const vectors = part.toTypedArray() as Float32Array;
    part.dispose();
    const queries = fromTypedArray(vectors, { shape: [count, images.dim(1)] });
    const found = await lookUpRows(queries, vectors, lookUp.neighbours + 1);
    queries.dispose();
    const pairs: DuplicatePair[] = [];
    for (const [offset, candidates] of found.entries()) {
      const own = start + offset;
      if (store.isRemoved(own)) continue;
      for (const { row, score } of candidates) {
        if (row === own || score < above - tolerance) continue;
        const [a, b] = row < own ? [row, own] : [own, row];
        const name = a * 2 ** 26 + b;
        if (seen.has(name)) continue;
        seen.add(name);
        pairs.push({ rows: [a, b], score });
      }
    }
    yield { pairs, done: start + count, total: rows };
  }
}

/** Connected components of at least two rows, by union-find. */
function groupsOf(pairs: readonly DuplicatePair[]): number[][] {
  const parents = new Map<number, number>();
  const rootOf = (row: number): number => {
    let root = row;
    for (let parent = parents.get(root); parent !== undefined; parent = parents.get(root))
      root = parent;
    // Paths are shortened, so that later look-ups take one step.
    for (let next = row; next !== root;) {
      const parent = parents.get(next);
      parents.set(next, root);
      next = parent ?? root;
    }
    return root;
  };
  for (const { rows } of pairs) {
    const [a, b] = [rootOf(rows[0]), rootOf(rows[1])];
    if (a !== b) parents.set(Math.max(a, b), Math.min(a, b));
  }
  const groups = new Map<number, number[]>();
  for (const row of new Set(pairs.flatMap(({ rows }) => rows))) {
    const root = rootOf(row);
    const group = groups.get(root) ?? [];
    group.push(row);
    groups.set(root, group);
  }
  return [...groups.values()]
    .map((group) => group.sort((a, b) => a - b))
    .sort((a, b) => b.length - a.length || at(a, 0) - at(b, 0));
}
