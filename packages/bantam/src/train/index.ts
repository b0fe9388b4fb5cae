/** Training: configuration, strategies, the trainer, run directories, plans. */
export {
  budgetProgress,
  parseBudget,
  unspent,
  withoutEpochs,
  type Budget,
  type Spent,
} from './config/budget.js';
export { chooseModel, distinctImages, vitFrom, type ModelChoice } from './config/choose-model.js';
export {
  configFormat,
  readRunOptions,
  runSchema,
  type RunOptions,
  type RunSettings,
  type TrainConfig,
} from './config/config.js';
export {
  configJsonSchema,
  jsonSchemaOf,
  settingsTable,
  settingsTables,
} from './config/describe.js';
export { resolveConfig } from './config/resolve.js';
export type {
  InitSettings,
  TokenizerInput,
  TokenizerSettings,
  TrainInput,
  TrainSettings,
  ValidationSettings,
} from './config/settings.js';
export { prepareTokenizer } from './config/tokenizer.js';
export type { TrainControl } from './loop/open-training.js';
export {
  Trainer,
  type BatchStream,
  type SkippedStep,
  type StepReport,
  type TakenStep,
  type TrainerContext,
} from './loop/trainer.js';
export type { TrainingContext } from './loop/context.js';
export type { TrainEvent, TrainResult } from './monitor/events.js';
export {
  describeSummary,
  summarizeValidations,
  type ValidationSummary,
} from './monitor/overfitting.js';
export {
  distributedStep,
  estimateMemory,
  fittingMicroBatch,
  fixedLengthTokenizer,
  MemoryPlanner,
  modelMemory,
  noiseBatch,
  planTime,
  RecordingGroup,
  repeated,
  type DeviceCluster,
  type DistributedStep,
  type DistributedWork,
  type EstimatedBatches,
  type MemoryPlan,
  type ModelMemory,
  type ModelMemoryOptions,
  type NoiseBatchOptions,
  type PlanContext,
  type PlannedPhase,
  type RecordedCollective,
  type TimePlan,
  type TrainingPlan,
} from './planning/index.js';
export {
  readMetrics,
  readValidations,
  type MetricsRow,
  type ValidationRow,
} from './run-dir/metrics.js';
export {
  dataFingerprint,
  describeChange,
  isFingerprint,
  type DataFingerprint,
} from './run-dir/data-fingerprint.js';
export { readRunConfig, runPaths } from './run-dir/paths.js';
export {
  createStrategy,
  nameOf,
  strategies,
  strategySchema,
  type StrategyConfig,
  type StrategyInput,
  type StrategyName,
  type StrategyResources,
} from './strategies/index.js';
export type {
  Features,
  Losses,
  Samples,
  StepBatch,
  StepContext,
  Strategy,
  StrategyKind,
} from './strategies/strategy.js';
export { loadStrategyModels, type StrategyModels } from './teachers/load.js';
export type { ReinforcedManifest, StoredTeacher } from './teachers/manifest.js';
export {
  reinforceSource,
  type ReinforceOptions,
  type ReinforceProgress,
  type ReinforceSummary,
} from './teachers/reinforce.js';
export { ReinforcedSet, type StoredRows } from './teachers/reinforced-set.js';
export { planResumed, planRun, resumeTraining, train, type TrainOptions } from './train.js';
export { joinWorld } from './world/join.js';
export { World } from './world/world.js';
