/** Memory and time of a training, predicted before it starts. */
export {
  estimateMemory,
  modelMemory,
  type EstimatedBatches,
  type ModelMemory,
  type ModelMemoryOptions,
} from './estimate-memory.js';
export { footprintOf, type SizedTrace, type Work } from './extrapolate-trace.js';
export { availableBytes, requireFit, requireMemory, dryRunsOf } from './memory-limit.js';
export { measureTimes } from './measure-time.js';
export {
  MemoryPlanner,
  type MemoryPlan,
  type MemoryPlanOptions,
  type DryRuns,
} from './plan-memory.js';
export { planTime, type PlannedPhase, type TimeCosts, type TimePlan } from './plan-time.js';
export { planTraining, type TrainingPlan } from './plan-training.js';
export {
  fixedLengthTokenizer,
  noiseBatch,
  repeated,
  type NoiseBatchOptions,
  type PlanContext,
} from './dummy-data.js';
export { requireTime, type ResumedRun } from './time-limit.js';
export {
  distributedStep,
  fittingMicroBatch,
  type DeviceCluster,
  type DistributedStep,
  type DistributedWork,
} from './distributed-step.js';
export { RecordingGroup, type RecordedCollective } from './recording-group.js';
