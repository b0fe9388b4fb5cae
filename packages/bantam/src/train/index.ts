/** Training: strategies, the trainer, checkpoints, budgets. */
export { budgetProgress, parseBudget, type Budget, type Spent } from './budget.js';
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
} from './config.js';
export { chooseModel, distinctImages, vitFrom, type ModelChoice } from './choose-model.js';
export { createTrainer, type CreateTrainerOptions, type TrainerSetup } from './create-trainer.js';
export type { TrainEvent, TrainResult } from './events.js';
export { readMetrics, type MetricsRow } from './metrics.js';
export {
  MemoryPlanner,
  type MemoryPlan,
  type PlannedPhase,
  type PlanOptions,
  type TimePlan,
  type TrainingPlan,
} from './planning/index.js';
export { resolvePrecision } from './precision.js';
export { readRunConfig, runPaths } from './run-directory.js';
export {
  createStrategy,
  parseStrategy,
  strategies,
  type StrategyConfig,
} from './strategies/index.js';
export { loadStrategyModels, type StrategyModels } from './strategy-models.js';
export type {
  EncodeContext,
  Features,
  LossContext,
  Losses,
  Samples,
  StepBatch,
  Strategy,
  StrategyKind,
} from './strategy.js';
export {
  reinforceSource,
  type ReinforceOptions,
  type ReinforceProgress,
  type ReinforceSummary,
} from './reinforced/reinforce-source.js';
export { ReinforcedSet, type StoredRows } from './reinforced/reinforced-set.js';
export type { ReinforcedManifest, StoredTeacher } from './reinforced/manifest.js';
export { defaultValidationSettings, type ValidationSettings } from './validation-settings.js';
export {
  readValidations,
  type MeasureOptions,
  type OpenValidator,
  type ValidationRow,
  type Validator,
} from './validation.js';
export { fixedLengthTokenizer, noiseBatch, repeated, type NoiseBatchOptions } from './noise.js';
export { resolveConfig, type RunOptions } from './resolve-config.js';
export type { TrainControl } from './run-training.js';
export { planResumed, planRun, resumeTraining, train, type TrainOptions } from './train.js';
export {
  Trainer,
  type BatchStream,
  type SkippedStep,
  type StepReport,
  type TakenStep,
  type TrainerParts,
} from './trainer.js';
