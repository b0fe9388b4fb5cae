/** Search: collections of vectors on disk, exact and approximate search, queries, duplicates. */
export { buildGraph, type BuildGraphOptions, type GraphProgress } from './build-graph.js';
export {
  buildIndex,
  finishIndex,
  type BuildIndexOptions,
  type IndexSummary,
} from './build-index.js';
export { Collection, type NewRow } from './collection.js';
export type { DuplicatePair, Duplicates, DuplicatesOptions } from './duplicates.js';
export { embedToFile, type EmbedToFileOptions } from './embedding-file.js';
export { ExactSearch, type Candidate, type NearestOptions, type SearchPrecision } from './exact.js';
export { growCollection, type GrowOptions, type GrowProgress, type GrowSummary } from './grow.js';
export type { Comparison } from './image-stamp.js';
export { identifyModel, namedModel, type ModelIdentity } from './model-identity.js';
export {
  holdsCollection,
  readManifest,
  type GraphInfo,
  type GraphRecall,
  type Manifest,
} from './manifest.js';
export { QueryScale, type QueryVector } from './query.js';
export type { IndexRecord } from './record-log.js';
export {
  openIndex,
  openStore,
  SearchIndex,
  type Hit,
  type OpenIndexOptions,
  type VectorSearch,
} from './search-index.js';
export { encodeQuery, search, type Query, type QueryPart, type SearchOptions } from './search.js';
export { openFolderStore, recordStore, type IndexModel, type VectorStore } from './store.js';
export { parseCondition, type Condition } from './where.js';
