/** Studies: arms trained at equal cost, compared with intervals. */
export { readStudy } from './config/read-study.js';
export {
  studyJsonSchema,
  studySchema,
  type GridOptions,
  type MeasureKind,
  type MeasureEntry,
  type StudyOptions,
  type TuneOptions,
} from './config/schema.js';
export {
  axisNames,
  gridsOf,
  type Arm,
  type AxisName,
  type AxisValue,
  type Grid,
} from './config/axes.js';
export type { StudyColumn } from './config/metrics.js';
export { runStudy, type StudyControl } from './runs/run-study.js';
export { carryOutRuns, type CarryOutRunsOptions, type StudyEvent } from './runs/carry-out-runs.js';
export { StudyData, type ArmData } from './runs/arm-data.js';
export { studyRun, type StudyRun, type StudyRunOptions } from './runs/study-run.js';
export { measurementOf, readResults, valueOf, type Measurement } from './runs/measurement.js';
export { readRecord, type RunRecord } from './runs/run-record.js';
export { studyPaths } from './runs/study-paths.js';
export type { StudyProgressState } from './runs/study-progress.js';
export {
  planStudy,
  type PlannedStudyRun,
  type PlanStudyOptions,
  type StudyPlan,
} from './runs/plan-study.js';
export type { MeasuredValue } from './runs/measurement.js';
export type {
  ArmComparison,
  ArmResult,
  FitCost,
  FitCurve,
  MetricSummary,
  StudyFailure,
  StudyFit,
  StudyResult,
  StudyRow,
  StudySummary,
  TunedRate,
} from './results.js';
export { costAxes, lineOf } from './results.js';
export type { RunIncidents } from './remarks.js';
export { comparisonCells, comparisonHead, summaryCell, untunedRates } from './cells.js';
export {
  bootstrapFit,
  fitLaw,
  type BootstrapFitOptions,
  type BootstrappedFit,
  type FitOptions,
  type FittedLaw,
  type Prediction,
} from './fits/fit.js';
export { fitStudy } from './fits/fit-study.js';
export {
  additiveLaw,
  effectiveSamples,
  powerLaw,
  repeatsLaw,
  utilityLaw,
  type FitPoint,
  type Law,
  type RepeatedPoint,
  type SizedPoint,
} from './fits/laws.js';
export {
  leastSquares,
  type LeastSquaresFit,
  type LeastSquaresProblem,
} from './fits/least-squares.js';
export { monotoneCurve, type CurvePoint, type MonotoneCurve } from './fits/monotone.js';
export {
  holm,
  pairedTest,
  verdictOn,
  type PairedTest,
  type Verdict,
} from './statistics/comparisons.js';
export { moments, studentInterval, tQuantile, tTwoSided } from './statistics/student-t.js';
export { curveError, type LearningCurve } from './fits/learning-curve.js';
export {
  planCandidates,
  planTraining,
  type PlanTrainingControl,
  type PlanTrainingOptions,
} from './planner/plan-training.js';
export { othersNote } from './planner/advice.js';
export {
  planPaths,
  readChoice,
  type Forecast,
  type PlannedChoice,
  type PlannedPilot,
  type PlannedRung,
  type ReadChoice,
  type SurerPlan,
  type TrainingChoices,
} from './planner/plan-file.js';
export {
  Posterior,
  type Observation,
  type PosteriorOptions,
  type PredictedMetric,
} from './planner/posterior.js';
export type { Belief, CandidatePrior, SharedPrior } from './planner/prior.js';
export type { PlanEvent } from './planner/pilots.js';
export type { MeasurementPrompts } from './runs/measurement.js';
export type { Candidate as PlanCandidate, LeftOut } from './planner/candidates.js';
export type { PlanData } from './planner/plan-data.js';
