import { statSync } from 'node:fs';
import { fromTypedArray, type Tensor } from '@bantam/torch';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import {
  findDuplicates,
  type Duplicates,
  type DuplicatesOptions,
  type LookUp,
} from './duplicates.js';
import { openEmbeddingFile } from './embedding-file.js';
import { ExactSearch, type Candidate, type SearchPrecision } from './exact.js';
import { viewGraph, type Graph } from './graph.js';
import { KeyTable } from './key-table.js';
import { QueryScale, type QueryVector } from './query.js';
import type { IndexRecord } from './record-log.js';
import { openFolderStore, type IndexModel, type VectorStore } from './store.js';
import { RowFilter, type Condition } from './where.js';

export interface OpenIndexOptions {
  /**
   * Number format of exact search. `fp32` (the default) reads the mapped file; `bf16` and `int8` keep a half
   * and a quarter of it in memory and are faster on CPUs with instructions for them. Scores are fp32's.
   */
  readonly precision?: SearchPrecision;
  /** Search every vector even if the index has a graph. */
  readonly exact?: boolean;
}

/** An image that a search found. */
export interface Hit {
  readonly key: string;
  /** Cosine of the angle between the query and the image. */
  readonly score: number;
  /** Row of the image in the index. */
  readonly row: number;
}

/** Searches of {@link SearchIndex.search}, done together. */
export interface VectorSearch {
  /** The parts of each query: see {@link QueryScale.combine}. */
  readonly queries: readonly (readonly QueryVector[])[];
  /** Hash of the model that made the vectors; another model's are refused. */
  readonly model?: string;
  /** Most images to find for each query. 8 by default. */
  readonly k?: number;
  /** Conditions on the records, all of which have to hold. */
  readonly where?: readonly Condition[];
  /** Lowest score of a hit. */
  readonly minScore?: number;
  /**
   * Finds nothing below the score that an image without relation to the query passes with this
   * probability; see {@link QueryScale.cutoff}.
   */
  readonly falsePositiveRate?: number;
}

/** Candidates of a graph beyond which a filtered search compares with all rows that pass the filter. */
const mostCandidates = 4096;

/** Rows by their keys. */
interface KeyRows {
  /** By composed keys (normal form C), the first row of each. */
  readonly composed: KeyTable;
  /** Further keys of the same composed form. */
  readonly exact: ReadonlyMap<string, number>;
}

/** An index that is open for searching. It shows what was committed when it was opened. */
export class SearchIndex {
  readonly #store: VectorStore;
  readonly #exact: ExactSearch;
  readonly #graph: Graph | undefined;
  readonly #scale: QueryScale;
  readonly #filter: RowFilter;
  #rowOf: KeyRows | undefined;

  /** Takes over the store and the graph; see {@link openIndex}. */
  constructor(store: VectorStore, { precision = 'fp32' }: OpenIndexOptions = {}, graph?: Graph) {
    this.#store = store;
    this.#graph = graph;
    this.#exact = new ExactSearch(
      store.images,
      // The graph finds the candidates.
      graph === undefined ? precision : 'fp32',
      store.size < store.rows ? (row) => store.isRemoved(row) : undefined,
    );
    this.#scale = new QueryScale(store);
    this.#filter = new RowFilter(store);
  }

  /** Number of images. */
  get size(): number {
    return this.#store.size;
  }

  /** Values of a vector. */
  get width(): number {
    return this.#store.images.dim(1);
  }

  /** The model that embedded it. */
  get model(): IndexModel {
    return this.#store.model;
  }

  /** Data specification of its source. */
  get spec(): string | undefined {
    return this.#store.spec;
  }

  /** True if {@link record} has the labels and metadata of the source: in folders, not in files. */
  get hasMetadata(): boolean {
    return this.#store.hasMetadata;
  }

  /** True if searches go through a graph. */
  get isApproximate(): boolean {
    return this.#graph !== undefined;
  }

  /** The record of a hit: its key, caption, label and metadata. */
  record(row: number): IndexRecord {
    return this.#store.record(row);
  }

  /**
   * The vector of a key, for searches by an image of the index. Accented letters may be composed or
   * decomposed; of two keys that differ in nothing else each has its own vector. The first call reads all
   * records, later ones that of the key.
   *
   * @throws BantamError if there is no such key.
   */
  vectorOf(key: string): Float32Array {
    this.#rowOf ??= this.#keyTable();
    const { exact, composed } = this.#rowOf;
    const row = exact.get(key) ?? composed.find(key.normalize('NFC'));
    if (row !== undefined) return this.#exact.row(row);
    const [first] = this.#store.records();
    const such = first === undefined ? '' : `, such as "${first[1].key}"`;
    throw new BantamError(`The index has no image "${key}"; name one by its key${such}.`);
  }

  #keyTable(): KeyRows {
    const composed = new KeyTable((row) => this.#store.record(row).key.normalize('NFC'));
    const exact = new Map<string, number>();
    for (const [row, { key }] of this.#store.records()) {
      const form = key.normalize('NFC');
      if (composed.find(form) === undefined) composed.add(form, row);
      else exact.set(key, row);
    }
    return { composed, exact };
  }

  /**
   * Refuses columns that no record has.
   *
   * @throws BantamError naming the columns that there are.
   */
  checkColumns(names: readonly string[]): void {
    this.#filter.checkColumns(names);
  }

  /**
   * The images that fit each query best, best first; of equals the first in the index.
   *
   * @throws BantamError for queries of another model or width, values that are not finite, columns that
   * there are not.
   */
  async search(options: VectorSearch): Promise<Hit[][]> {
    const { queries, model, k = 8, where = [], minScore = -Infinity, falsePositiveRate } = options;
    if (!(Number.isSafeInteger(k) && k > 0)) {
      throw new BantamError(`${k} images cannot be found; ask for 1 or more.`);
    }
    this.checkModel(model);
    if (queries.length === 0 || this.size === 0) return queries.map(() => []);
    const lowest = queries.map((parts) =>
      falsePositiveRate === undefined
        ? minScore
        : Math.max(minScore, this.#scale.cutoff(parts, falsePositiveRate)),
    );
    const vectors = new Float32Array(queries.length * this.width);
    for (const [row, parts] of queries.entries()) {
      const name = queries.length === 1 ? 'The query' : `Query ${row + 1}`;
      vectors.set(this.#scale.combine(parts, name), row * this.width);
    }
    const tensor = fromTypedArray(vectors, { shape: [queries.length, this.width] });
    try {
      const rows = where.length === 0 ? undefined : this.#filter.rows(where);
      const found = await this.#nearest(tensor, vectors, k, rows);
      return found.map((candidates, query) =>
        candidates
          .filter(({ score }) => score >= at(lowest, query))
          .map(({ row, score }) => ({ key: this.record(row).key, score, row })),
      );
    } finally {
      tensor.dispose();
    }
  }

  /** Pairs of images that are nearly alike; see {@link findDuplicates}. */
  duplicates(options: DuplicatesOptions = {}): Promise<Duplicates> {
    const lookUp: LookUp = (queries, vectors, k) => this.#nearest(queries, vectors, k, undefined);
    return findDuplicates(this.#store, options, this.#graph === undefined ? undefined : lookUp);
  }

  /** The score below which {@link VectorSearch.falsePositiveRate} leaves images out for a query. */
  cutoff(query: readonly QueryVector[], rate: number): number {
    return this.#scale.cutoff(query, rate);
  }

  /** @throws BantamError if the hash is that of another model than the index's. */
  checkModel(hash: string | undefined): void {
    const { hash: own, path } = this.model;
    if (hash === undefined || own === undefined || hash === own) return;
    const name = path === undefined ? '' : `, ${path}`;
    throw new BantamError(
      `The index was made with another model (${own.slice(0, 12)}${name}) than the query's (${hash.slice(0, 12)}); search with that model, or build the index anew.`,
    );
  }

  /** Frees memory and closes the files. */
  dispose(): void {
    this.#scale.dispose();
    this.#exact.dispose();
    this.#store.close();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async #nearest(
    queries: Tensor,
    vectors: Float32Array,
    k: number,
    rows: Int32Array | undefined,
  ): Promise<Candidate[][]> {
    const graph = this.#graph;
    if (graph === undefined) {
      return this.#exact.nearest(queries, { k, ...(rows !== undefined && { rows }) });
    }
    const passing = rows?.length ?? this.size;
    // One in `1/fraction` of the graph's rows passes; so many candidates hold k that do, on average.
    const fraction = passing / Math.max(1, graph.rows);
    const wanted = Math.ceil(Math.max(graph.candidates, 4 * k) / Math.min(1, fraction));
    if (wanted > Math.max(mostCandidates, 8 * k)) {
      return this.#exact.nearest(queries, { k, rows: rows ?? this.#liveRows(0) });
    }
    const passes = rows === undefined ? undefined : new Set(rows);
    const late = (rows ?? this.#liveRows(graph.rows)).filter((row) => row >= graph.rows);
    const added =
      late.length === 0 ? undefined : await this.#exact.nearest(queries, { k, rows: late });
    const found = graph.search(vectors, Math.min(wanted, graph.rows));
    const results: Candidate[][] = [];
    for (const [query, candidates] of found.entries()) {
      const left = candidates.filter(
        (row) => !this.#store.isRemoved(row) && (passes?.has(row) ?? true),
      );
      if (left.length + (added?.[query]?.length ?? 0) < Math.min(k, passing)) {
        // The filter leaves too little of the query's surroundings.
        return this.#exact.nearest(queries, { k, rows: rows ?? this.#liveRows(0) });
      }
      const scored = this.#exact.rescore(
        queries,
        query,
        left.map((row) => ({ row, score: 0 })),
      );
      results.push(
        [...scored, ...(added === undefined ? [] : at(added, query))]
          .sort((a, b) => b.score - a.score || a.row - b.row)
          .slice(0, k),
      );
    }
    return results;
  }

  #liveRows(from: number): Int32Array {
    const rows: number[] = [];
    for (let row = from; row < this.#store.rows; row++) {
      if (!this.#store.isRemoved(row)) rows.push(row);
    }
    return Int32Array.from(rows);
  }
}

/** The vectors of an index in a folder, or of an embedding file. */
export async function openStore(path: string): Promise<VectorStore> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isFolder ? openFolderStore(path) : openEmbeddingFile(path);
}

/**
 * Opens an index for searching: a folder that `bantam index` made, or a file of `bantam embed`.
 *
 * @throws BantamError if it is missing or damaged, or was built with a graph and usearch is not installed.
 */
export async function openIndex(
  path: string,
  options: OpenIndexOptions = {},
): Promise<SearchIndex> {
  const store = await openStore(path);
  try {
    const { graph } = store;
    const usesGraph = graph !== undefined && graph.rows > 0 && options.exact !== true;
    return new SearchIndex(
      store,
      options,
      usesGraph ? await viewGraph(graph, store.images.dim(1)) : undefined,
    );
  } catch (error) {
    store.close();
    throw error;
  }
}
