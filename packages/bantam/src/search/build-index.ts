import { BantamError } from '../base/errors.js';
import { storedWorkingFolder } from '../base/working-folder.js';
import type { Source } from '../data/index.js';
import type { InferenceModel } from '../eval/index.js';
import { buildGraph, type BuildGraphOptions, type GraphProgress } from './build-graph.js';
import { Collection } from './collection.js';
import { growCollection, type GrowOptions, type GrowProgress, type GrowSummary } from './grow.js';
import type { GraphInfo } from './manifest.js';
import { identifyModel, storedName } from './model-identity.js';

export interface BuildIndexOptions
  extends Omit<GrowOptions, 'onProgress' | 'metadata'>, Omit<BuildGraphOptions, 'onProgress'> {
  /**
   * `graph` for approximate search, `exact` for none, `auto` (the default): a graph from 200,000 images on, or if
   * the index has one.
   */
  readonly kind?: 'auto' | 'graph' | 'exact';
  /** Writes the data files anew without what was removed; by default if that is a thousand rows and a third of all. */
  readonly compact?: boolean;
  readonly onProgress?: (progress: GrowProgress | GraphProgress) => void;
}

/** Result of {@link buildIndex}. */
export interface IndexSummary extends GrowSummary {
  readonly size: number;
  readonly dimensions: number;
  readonly graph?: GraphInfo;
  /** True if the data files were written anew. */
  readonly compacted: boolean;
}

/** Removed rows below which nothing is gained by writing the files anew. */
const leastRemoved = 1000;
/** Images from which on a graph is built unless said otherwise. */
const graphFrom = 200_000;

/**
 * Makes an index of a source's images in a folder, or brings it up to date: what is new or changed is
 * embedded, what is gone is dropped, what is unchanged stays. A killed run resumes at its last commit.
 *
 * @throws BantamError if the folder's index is of another model, another process writes to it, no image
 * can be read, or a graph is wanted and usearch is not installed.
 */
export async function buildIndex(
  folder: string,
  { model, source, ...options }: BuildIndexOptions & { model: InferenceModel; source: Source },
): Promise<IndexSummary> {
  const { onProgress, unchanged = 'time' } = options;
  const { hash, imageSize, preprocess } = await identifyModel(model);
  using collection = await Collection.open(folder, { width: model.loaded.config.embedDim });
  const { model: earlier } = collection.manifest;
  if (earlier !== undefined && earlier.hash !== hash) {
    throw new BantamError(
      `The index in ${folder} was made with another model (${earlier.path ?? earlier.hash.slice(0, 12)}); name another folder, or delete it and build it anew.`,
    );
  }
  collection.commit({
    spec: source.spec,
    specFolder: storedWorkingFolder(folder),
    precision: model.precision,
    unchanged,
    model: {
      hash,
      path: storedName(model.name, folder),
      imageSize,
      preprocess: { ...preprocess },
    },
  });
  const grown = await growCollection(collection, model, source, {
    ...options,
    unchanged,
    ...(onProgress !== undefined && { onProgress }),
  });
  const finished = await finishIndex(collection, options);
  return { ...grown, ...finished };
}

/** Compacts a collection if that is due, and brings its graph up to date. */
export async function finishIndex(
  collection: Collection,
  { kind = 'auto', compact, onProgress, connectivity, recall }: BuildIndexOptions,
): Promise<Pick<IndexSummary, 'size' | 'dimensions' | 'graph' | 'compacted'>> {
  const { rows } = collection.manifest;
  const compacted = compact ?? collection.removed >= Math.max(leastRemoved, rows / 3);
  if (compacted) collection.compact();
  const { graph: before } = collection.manifest;
  const isWanted =
    kind === 'graph' || (kind === 'auto' && (before !== undefined || collection.size >= graphFrom));
  const graph = isWanted
    ? await buildGraph(collection, {
        ...(connectivity !== undefined && { connectivity }),
        ...(recall !== undefined && { recall }),
        ...(onProgress !== undefined && { onProgress }),
      })
    : undefined;
  if (kind === 'exact' && before !== undefined) collection.dropGraph();
  const { size, manifest } = collection;
  return {
    size,
    dimensions: manifest.width,
    ...(graph !== undefined && { graph }),
    compacted,
  };
}
