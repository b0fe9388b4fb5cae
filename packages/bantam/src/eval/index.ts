/** Evaluation: zero-shot classification, retrieval, embedding. */
export { confusions, type Confusion, type ConfusionsInput } from './confusions.js';
export { retrievalChance, type RetrievalChance } from './chance.js';
export { evalDatasets, type DatasetKind, type EvalDataset } from './datasets.js';
export {
  disposeEmbeddings,
  embedImages,
  embedSource,
  type EmbedImagesOptions,
  type Embeddings,
  type EmbedProgress,
  type EmbedSourceOptions,
  type ImageFeatures,
} from './embed.js';
export {
  encodePixels,
  encodeTexts,
  type EncodeOptions,
  type EncodePixelsInput,
  type EncodeTextsOptions,
} from './encode.js';
export {
  evalTasks,
  evaluate,
  type EmbeddedDataset,
  type EvalTask,
  type EvaluateOptions,
  type EvaluationResult,
} from './evaluate.js';
export {
  loadForInference,
  type InferenceModel,
  type InferencePrecision,
} from './load-for-inference.js';
export {
  answersAll,
  queryHits,
  type AnsweredQuery,
  type QueryHitsOptions,
  type QueryRank,
} from './query-hits.js';
export type { Scores } from './scores.js';
export { rankPositives, type RankOptions, type Ranks } from './ranks.js';
export { retrieval, type RetrievalInput } from './retrieval.js';
export {
  formatMetric,
  formatTable,
  metricTables,
  type MetricCell,
  type MetricColumn,
  type MetricRow,
  type MetricTable,
} from './tables.js';
export {
  cifarTemplates,
  fillTemplate,
  genericTemplates,
  imagenetSimpleTemplates,
  imagenetTemplates,
  resolveTemplates,
  templateLists,
  type TemplateList,
} from './templates.js';
export {
  classifierWeights,
  zeroShot,
  type ZeroShotInput,
  type ZeroShotResult,
} from './zero-shot.js';
export {
  openValidator,
  taskMetrics,
  type MeasureOptions,
  type OpenValidator,
  type Validator,
} from './validator.js';
