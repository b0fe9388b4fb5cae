import { UsageError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';
import type { EvalDataset } from '../datasets.js';
import type { ClassPrecision } from '../metrics/average-precision.js';
import type { Calibration } from '../metrics/calibration.js';
import type { ClassReport } from '../metrics/classification.js';
import type { Confusion } from '../metrics/confusions.js';
import type { GroupScores } from '../metrics/groups.js';
import type { QueryRank } from '../metrics/query-hits.js';
import type { Scores } from '../metrics/scores.js';
import type { ProbeFacts } from './probe-facts.js';

export const evalTasks = [
  'zero-shot',
  'retrieval',
  'linear-probe',
  'few-shot',
  'knn',
  'associations',
] as const;

/** A way to measure a model. */
export type EvalTask = (typeof evalTasks)[number];

/** The tasks that need no more than the data themselves: the default. */
export const plainTasks = ['zero-shot', 'retrieval'] as const satisfies readonly EvalTask[];
export type PlainTask = (typeof plainTasks)[number];

/** The tasks that train a classifier on features. */
export const probeTasks: readonly EvalTask[] = ['linear-probe', 'few-shot', 'knn'];

/** A model's scores on a data set in a task. Plain data. */
export interface EvaluationResult extends Scores {
  readonly dataset: EvalDataset['name'];
  readonly spec: EvalDataset['spec'];
  readonly kind?: NonNullable<EvalDataset['kind']>;
  /** `queries`: the searches of `EvaluateOptions.queries`. */
  readonly task: EvalTask | 'queries';
  /** Name of the protocol, where a task has several. */
  readonly protocol?: string;
  /** Images that took part. */
  readonly samples: number;
  /** Classification: which of the source's classifications. */
  readonly labels?: string;
  /** Classification: number of classes. */
  readonly classes?: number;
  /** Classification: accuracy of always answering with the commonest class. */
  readonly majority?: number;
  /** Classification: the confusions that cost the most accuracy; examples are keys of records. */
  readonly confusions?: readonly Confusion<string>[];
  /** Classification: recall, precision and F1 of each class, if details are asked for. */
  readonly perClass?: readonly ClassReport[];
  /** Zero-shot with several classes of an image: average precision of each, if details are asked for. */
  readonly classPrecisions?: readonly ClassPrecision[];
  /** Classification: accuracy in groups of images, if fields are named. */
  readonly groups?: readonly GroupScores[];
  /** Zero-shot: calibration of the probabilities, if details are asked for. */
  readonly calibration?: Calibration;
  /** Probes: the features, splits and settings behind the scores. */
  readonly probe?: ProbeFacts;
  /** Retrieval: number of captions that are queries. */
  readonly captions?: number;
  /** Queries: the rank of each one's first right answer. */
  readonly ranks?: readonly QueryRank[];
  /** Images that could not be read and so did not take part. */
  readonly quarantined: number;
}

/** @throws UsageError for an unknown task. */
export function checkTasks(tasks: readonly string[]): readonly EvalTask[] {
  return tasks.map((task) => {
    const found = evalTasks.find((known) => known === task);
    if (found !== undefined) return found;
    throw new UsageError(
      `There is no task "${task}"${didYouMean(task, evalTasks)}; tasks are ${evalTasks.join(', ')}.`,
    );
  });
}
