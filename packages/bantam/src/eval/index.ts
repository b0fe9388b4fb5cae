/** Evaluation: zero-shot classification, retrieval, probes, suites, embedding. */
export { confusions, type Confusion, type ConfusionsInput } from './metrics/confusions.js';
export {
  multiLabel,
  type ClassPrecision,
  type MultiLabelInput,
  type MultiLabelResult,
} from './metrics/average-precision.js';
export { retrievalChance, type RetrievalChance } from './metrics/chance.js';
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
export { followOrders } from './helpers/follow.js';
export { Helpers } from './helpers/helpers.js';
export { loadTogether } from './helpers/load.js';
export { evaluate, type EvaluateOptions } from './evaluate.js';
export { evalTasks, type EvalTask, type EvaluationResult } from './tasks/result.js';
export type { EmbeddedDataset, Hits } from './tasks/dataset-context.js';
export type { ProbeFacts, ProbeOptions } from './tasks/probe-facts.js';
export {
  FeatureStore,
  type FeatureStoreOptions,
  type StoredEmbeddings,
} from './features/feature-store.js';
export {
  wilson,
  clusteredWilson,
  meanInterval,
  medianInterval,
  type Cluster,
  type Interval,
} from './statistics/intervals.js';
export {
  mcnemar,
  pairedBootstrap,
  type BootstrapOptions,
  type McNemar,
  type PairedDifference,
} from './statistics/paired-tests.js';
export {
  effectiveRobustness,
  logit,
  robustnessLine,
  type RobustnessLine,
  type RobustnessPoint,
} from './statistics/effective-robustness.js';
export {
  calibration,
  type Calibration,
  type CalibrationInput,
  type ReliabilityBin,
} from './metrics/calibration.js';
export {
  classReports,
  macroF1,
  type ClassReport,
  type ClassReportInput,
  type ClassScore,
} from './metrics/classification.js';
export { groupScores, type GroupScores } from './metrics/groups.js';
export {
  associationScores,
  cuePrompt,
  type Association,
  type AssociationsInput,
} from './metrics/associations.js';
export {
  fewShot,
  fewShotMethods,
  type FewShotInput,
  type FewShotMethod,
  type FewShotScore,
} from './probes/few-shot.js';
export {
  nearestNeighbours,
  type NearestNeighboursInput,
  type NearestNeighboursScore,
} from './probes/knn.js';
export {
  linearProbe,
  type LinearProbe,
  type LinearProbeInput,
  type TriedC,
} from './probes/linear-probe.js';
export type { LogisticModel } from './probes/logistic.js';
export { probeLayers, splitByKey, type ProbeLayer, type ProbeSet } from './probes/probe-set.js';
export {
  imagenetClasses,
  imagenetLabels,
  imagenetSets,
  parseImageNetSet,
  type ImageNetClass,
  type ImageNetSet,
} from './protocols/imagenet.js';
export {
  canonicalText,
  resolveProtocols,
  retrievalProtocols,
  zeroShotProtocols,
  type Protocols,
  type RetrievalProtocolName,
  type ZeroShotProtocol,
  type ZeroShotProtocolName,
} from './protocols/protocols.js';
export {
  loadForInference,
  type InferenceModel,
  type InferencePrecision,
  type LoadForInferenceOptions,
} from './load-for-inference.js';
export {
  answersAll,
  queryHits,
  type AnsweredQuery,
  type QueryHitsOptions,
  type QueryRank,
} from './metrics/query-hits.js';
export type { Scores } from './metrics/scores.js';
export { rankPositives, type RankOptions, type Ranks } from './metrics/ranks.js';
export { retrieval, type RetrievalInput } from './metrics/retrieval.js';
export { formatMetricTable, formatTable } from './format-tables.js';
export {
  formatInterval,
  formatMetric,
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
  templateLists,
  type TemplateList,
} from './protocols/templates.js';
export { withClasses } from './own-prompts.js';
export { resolveTemplates } from './protocols/label-data.js';
export {
  classifierWeights,
  zeroShot,
  type ZeroShotInput,
  type ZeroShotResult,
} from './metrics/zero-shot.js';
export {
  metricNames,
  openMetric,
  openValidator,
  taskMetrics,
  type MeasuredMetric,
  type MeasureOptions,
  type MetricMeter,
  type OpenValidator,
  type Validator,
  type ValidatorSettings,
} from './validator.js';
export {
  greedySoup,
  type GreedySoupOptions,
  type GreedySoupResult,
  type SoupStep,
} from './mixing/greedy-soup.js';
export type { JudgeOptions } from './mixing/judge.js';
export {
  mixingCurve,
  type MixingCurve,
  type MixingCurveOptions,
  type MixingData,
  type MixingPoint,
} from './mixing/mixing-curve.js';
export { builtInSuites, type BuiltInSuite } from './suite/built-in.js';
export { mainScore } from './suite/averages.js';
export { suiteCsv } from './suite/csv.js';
export { runSuite, type RunSuiteOptions } from './suite/run-suite.js';
export type {
  MissingDataset,
  ModelRobustness,
  NamedPoint,
  RefusedTask,
  ShiftPair,
  ShiftRobustness,
  SuiteAverage,
  SuiteEntry,
  SuiteModel,
  SuiteReport,
} from './suite/suite-result.js';
export type { Suite, SuiteDataset } from './suite/suite-schema.js';
export { openSuite, type OpenedSuite, type OpenSuiteOptions } from './suite/suite.js';
export { formatSuite } from './suite/format.js';
export { describeLine, formatPoints, measureOf } from './suite/format-robustness.js';
export {
  compareHits,
  type CompareHitsOptions,
  type Disagreement,
  type HitsComparison,
} from './compare/compare-hits.js';
export { answersOf, compareAnswers } from './compare/compare-models.js';
export { comparisonTitle, formatComparisons, verdictOf } from './compare/format.js';
export { itemsOf, metricTitle } from './metric-names.js';
export { readAnswers, writeAnswers, type AnswersFile } from './compare/hits-file.js';
export { hashModelFiles } from './features/fingerprint.js';
