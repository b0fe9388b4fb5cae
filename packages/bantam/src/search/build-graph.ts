import { fsyncSync, openSync, closeSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  fromTypedArray,
  indexSelect,
  narrow,
  scope,
  syncFolder,
  threads,
  type Tensor,
} from '@bantam/torch';
import { at } from '../base/at.js';
import type { Collection } from './collection.js';
import { ExactSearch } from './exact.js';
import { defaultConnectivity, newGraph, searchGraph, toInt8, type UsearchIndex } from './graph.js';
import type { GraphInfo, GraphRecall } from './manifest.js';
import { openFolderStore, type VectorStore } from './store.js';

export interface BuildGraphOptions {
  /** Neighbours of each vector; 16 by default. More raise recall, memory and time. */
  readonly connectivity?: number;
  /** Recall@10 that a search shall have; it decides the number of candidates. 0.95 by default. */
  readonly recall?: number;
  readonly onProgress?: (progress: GraphProgress) => void;
}

export interface GraphProgress {
  readonly stage: 'graph' | 'recall';
  readonly done: number;
  readonly total: number;
}

/** Rows that are added in one call: about a second. */
const batchRows = 2048;
/** Seconds of building between commits, and how many times a commit's own time at least. */
const commitAfter = { seconds: 30, saves: 10 };
/** Most queries of a kind by which recall is measured, and the least that tell anything. */
const queries = { most: 500, least: 50 };
/** Numbers of candidates that are tried. */
const candidateCounts = [16, 32, 64, 128, 256, 512];
const neighbours = 10;

/**
 * Adds a collection's rows to its graph, which is made if it has none. The graph is committed every
 * half a minute; a killed run resumes from there.
 *
 * Recall is measured on queries that are not in the graph: vectors of images that are added last, and of
 * captions. The answer of exact search is the truth.
 *
 * @throws BantamError if usearch is not installed.
 */
export async function buildGraph(
  collection: Collection,
  { connectivity, recall = 0.95, onProgress }: BuildGraphOptions = {},
): Promise<GraphInfo> {
  const { width, graph: before } = collection.manifest;
  const links = connectivity ?? before?.connectivity ?? defaultConnectivity;
  const index = await newGraph(width, links);
  let info: GraphInfo = {
    file: '',
    rows: 0,
    connectivity: links,
    candidates: at(candidateCounts, -1),
    recall: [],
    measuredRows: 0,
  };
  if (before?.connectivity === links && before.rows > 0) {
    index.load(join(collection.folder, before.file));
    info = before;
  }
  const store = await openFolderStore(collection.folder);
  try {
    const builder = new Builder(collection, store, index, info, onProgress);
    const fresh = store.rows - info.rows;
    // The last rows stay out until recall is measured with them.
    const heldOut = Math.min(queries.most, Math.floor(fresh / 10));
    await builder.addUpTo(store.rows - heldOut);
    if (heldOut >= queries.least || info.measuredRows === 0) await builder.measure(recall);
    await builder.addUpTo(store.rows);
    builder.commit();
    return builder.info;
  } finally {
    store.close();
  }
}

class Builder {
  info: GraphInfo;
  readonly #collection: Collection;
  readonly #store: VectorStore;
  readonly #index: UsearchIndex;
  readonly #onProgress: BuildGraphOptions['onProgress'];
  #committed: number;
  #lastCommit = performance.now();
  #saveTime = 0;

  constructor(
    collection: Collection,
    store: VectorStore,
    index: UsearchIndex,
    info: GraphInfo,
    onProgress: BuildGraphOptions['onProgress'],
  ) {
    this.#collection = collection;
    this.#store = store;
    this.#index = index;
    this.info = info;
    this.#committed = info.rows;
    this.#onProgress = onProgress;
  }

  /** Adds the rows below `end`. Removed ones are added too: the graph's keys are the rows. */
  async addUpTo(end: number): Promise<void> {
    const width = this.#store.images.dim(1);
    while (this.info.rows < end) {
      const start = this.info.rows;
      const count = Math.min(batchRows, end - start);
      const vectors = readRows(this.#store.images, start, count);
      const keys = BigUint64Array.from({ length: count }, (_, row) => BigInt(start + row));
      this.#index.add(keys, toInt8(vectors, width), threads());
      this.info = { ...this.info, rows: start + count };
      this.#onProgress?.({ stage: 'graph', done: start + count, total: this.#store.rows });
      const elapsed = performance.now() - this.#lastCommit;
      if (elapsed > Math.max(1000 * commitAfter.seconds, commitAfter.saves * this.#saveTime)) {
        this.commit();
      }
      await setImmediate();
    }
  }

  /** Saves the graph under a new name and makes it count; the earlier file goes after that. */
  commit(): void {
    const { folder, manifest } = this.#collection;
    const isCurrent = manifest.graph === this.info;
    if (isCurrent) return;
    const before = manifest.graph;
    const start = performance.now();
    const file = `graph-${manifest.generation}-${this.info.rows}.usearch`;
    if (file !== before?.file || this.#committed !== this.info.rows) {
      const path = join(folder, file);
      this.#index.save(`${path}.tmp`);
      syncFile(`${path}.tmp`);
      renameSync(`${path}.tmp`, path);
      syncFolder(folder);
    }
    this.info = { ...this.info, file };
    this.#collection.commit({ graph: this.info });
    if (before !== undefined && before.file !== file)
      rmSync(join(folder, before.file), { force: true });
    this.#committed = this.info.rows;
    this.#saveTime = performance.now() - start;
    this.#lastCommit = performance.now();
  }

  /** Measures recall@10 at several numbers of candidates, and takes the least that reaches what is wanted. */
  async measure(wanted: number): Promise<void> {
    const { images, captions } = this.#store;
    const { rows } = this.info;
    const width = images.dim(1);
    const total = this.#store.rows - rows;
    if (rows === 0) return;
    const within = narrow(images, 0, 0, rows);
    using exact = new ExactSearch(within, 'fp32', (row) => this.#store.isRemoved(row));
    const sets: { readonly kind: 'image' | 'text'; readonly vectors: Float32Array }[] = [];
    const held = Math.min(total, queries.most);
    if (held >= queries.least) sets.push({ kind: 'image', vectors: readRows(images, rows, held) });
    if (captions !== undefined) {
      const vectors = captionQueries(captions, this.#store.rows, width);
      if (vectors.length > 0) sets.push({ kind: 'text', vectors });
    }
    const found = new Map<number, { -readonly [K in keyof GraphRecall]: GraphRecall[K] }>();
    for (const { kind, vectors } of sets) {
      const count = vectors.length / width;
      using tensor = fromTypedArray(vectors, { shape: [count, width] });
      const truth = await exact.nearest(tensor, { k: neighbours });
      for (const candidates of candidateCounts) {
        if (candidates > rows) continue;
        const start = performance.now();
        const answers = searchGraph(this.#index, vectors, width, candidates);
        let hits = 0;
        let possible = 0;
        for (const [query, rowsFound] of answers.entries()) {
          const live = rowsFound.filter((row) => !this.#store.isRemoved(row));
          const scored = exact.rescore(
            tensor,
            query,
            live.map((row) => ({ row, score: 0 })),
          );
          // By score: of images that are alike any is right.
          const right = at(truth, query);
          const least = right.at(-1)?.score ?? -Infinity;
          hits += Math.min(
            right.length,
            scored.filter(({ score }) => score >= least - 1e-6).length,
          );
          possible += right.length;
        }
        const milliseconds = (performance.now() - start) / count;
        const row = found.get(candidates) ?? { candidates, milliseconds: 0 };
        row[kind] = hits / possible;
        row.milliseconds = Math.max(row.milliseconds, milliseconds);
        found.set(candidates, row);
        this.#onProgress?.({ stage: 'recall', done: found.size, total: candidateCounts.length });
        await setImmediate();
      }
    }
    within.dispose();
    const recall = [...found.values()];
    const enough = recall.find(({ image = 1, text = 1 }) => Math.min(image, text) >= wanted);
    const candidates = (enough ?? recall.at(-1))?.candidates ?? at(candidateCounts, -1);
    this.info = { ...this.info, recall, candidates, measuredRows: rows };
  }
}

/** Vectors of distinct captions, evenly spread over the rows. */
function captionQueries(captions: Tensor, rows: number, width: number): Float32Array {
  const count = Math.min(queries.most, rows);
  const index = BigInt64Array.from({ length: count }, (_, i) =>
    BigInt(Math.floor((i * rows) / count)),
  );
  const values = scope(
    () => indexSelect(captions, 0, fromTypedArray(index)).toTypedArray() as Float32Array,
  );
  const distinct = new Map<string, Float32Array>();
  for (let start = 0; start < values.length; start += width) {
    const vector = values.subarray(start, start + width);
    // Zeros: a row without a caption.
    if (vector.some((value) => value !== 0)) distinct.set(vector.join(), vector);
  }
  const joined = new Float32Array(distinct.size * width);
  for (const [row, vector] of [...distinct.values()].entries()) joined.set(vector, row * width);
  return joined;
}

function readRows(from: Tensor, start: number, count: number): Float32Array {
  return scope(() => narrow(from, 0, start, count).toTypedArray() as Float32Array);
}

function syncFile(path: string): void {
  const file = openSync(path, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
