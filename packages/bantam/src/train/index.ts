/** Training: strategies, the trainer, checkpoints, budgets. */
export { budgetProgress, parseBudget, type Budget, type Spent } from './config/budget.js';
export {
  applyModelSettings,
  applySettings,
  freshWeights,
  type InitSettings,
  defaultTokenizerSettings,
  defaultTrainSettings,
  type TokenizerSettings,
  type TrainConfig,
  type TrainerConfig,
  type TrainSettings,
} from './config/config.js';
export {
  createTrainer,
  type CreateTrainerOptions,
  type TrainerSetup,
} from './loop/create-trainer.js';
export type { TrainEvent, TrainResult } from './monitor/events.js';
export { readMetrics, type MetricsRow } from './run-dir/metrics.js';
export {
  MemoryPlanner,
  type MemoryPlan,
  type PlannedPhase,
  type PlanOptions,
  type TimePlan,
  type TrainingPlan,
} from './planning/index.js';
export { readRunConfig, runPaths } from './run-dir/paths.js';
export {
  createStrategy,
  parseStrategy,
  strategies,
  type StrategyConfig,
} from './strategies/index.js';
export { loadStrategyModels, type StrategyModels } from './teachers/strategy-models.js';
export type {
  EncodeContext,
  Features,
  LossContext,
  Losses,
  Samples,
  StepBatch,
  Strategy,
  StrategyKind,
} from './strategies/strategy.js';
export {
  reinforceSource,
  type ReinforceOptions,
  type ReinforceProgress,
  type ReinforceSummary,
} from './teachers/reinforce.js';
export { ReinforcedSet, type StoredRows } from './teachers/reinforced-set.js';
export type { ReinforcedManifest, StoredTeacher } from './teachers/manifest.js';
export {
  defaultValidationSettings,
  type ValidationSettings,
} from './monitor/validation-settings.js';
export { readValidations, type ValidationRow } from './monitor/validation.js';
export {
  fixedLengthTokenizer,
  noiseBatch,
  repeated,
  type NoiseBatchOptions,
} from './planning/noise.js';
export { resolveConfig, type RunOptions } from './config/resolve.js';
export type { TrainControl } from './loop/run-training.js';
export { planResumed, planRun, resumeTraining, train, type TrainOptions } from './train.js';
export {
  Trainer,
  type BatchStream,
  type SkippedStep,
  type StepReport,
  type TakenStep,
  type TrainerParts,
} from './loop/trainer.js';
