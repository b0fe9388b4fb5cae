/** Messages between a study and the processes that carry out its runs. */
import type { RunOptions, TrainingPlan } from '../../train/index.js';
import type { Measurement } from './measurement.js';

/** A job of a process. */
export type StudyJob =
  | {
      readonly kind: 'train';
      readonly folder: string;
      readonly options: RunOptions;
      readonly measurements: readonly Measurement[];
      readonly keep: 'results' | 'model' | 'checkpoints';
    }
  | {
      readonly kind: 'plan';
      readonly options: RunOptions;
      /** As `planRun` takes it. */
      readonly timing?: number;
    };

/** Sent to a process: a job, or the request to end the present one with a checkpoint. */
export type ToProcess =
  { readonly kind: 'job'; readonly job: StudyJob } | { readonly kind: 'stop' };

/** Stages of a job. */
export type JobStage = 'waiting' | 'training' | 'measuring' | 'planning';

/** Progress of a job. */
export interface JobProgress {
  readonly kind: 'progress';
  readonly stage: JobStage;
  /** Fraction of the training that is done, 0 … 1. */
  readonly progress: number;
}

/** End of a job. */
export type JobOutcome =
  | { readonly kind: 'done'; readonly plan?: TrainingPlan }
  /** It was stopped, with a checkpoint. */
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly message: string };

/** Sent by a process. */
export type FromProcess = JobProgress | JobOutcome;
