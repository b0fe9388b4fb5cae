/** Metrics by name: the task that measures each, and the columns of a study's tables. */
import { didYouMean } from '../../base/did-you-mean.js';
import { UsageError } from '../../base/errors.js';
import { taskMetrics, type EvalTask, type ProbeOptions } from '../../eval/index.js';
import type { MeasureKind, MeasureEntry, StudyOptions } from './schema.js';

/** A metric on a data set: a column of a study's tables. */
export interface StudyColumn {
  /** `data set, metric`, which is unique. */
  readonly id: string;
  readonly dataset: string;
  readonly metric: string;
  readonly task: EvalTask;
  readonly kind?: MeasureKind;
  /** Less is better, as for ranks. */
  readonly lowerIsBetter: boolean;
}

/** Metrics of probes, whose names hold numbers. */
const probeMetrics: readonly (readonly [pattern: RegExp, task: EvalTask])[] = [
  [/^lp_(acc1|acc5|mean_per_class_recall|F1-macro_all)$/, 'linear-probe'],
  [/^few_shot@[1-9]\d*$/, 'few-shot'],
  [/^knn@[1-9]\d*$/, 'knn'],
];
const probeExamples = ['lp_acc1', 'few_shot@5', 'few_shot@10', 'knn@10'];

/**
 * The task that measures a metric.
 *
 * @throws UsageError for an unknown metric.
 */
export function taskOfMetric(metric: string): EvalTask {
  for (const task of ['zero-shot', 'retrieval'] as const) {
    if (taskMetrics[task].includes(metric)) return task;
  }
  const found = probeMetrics.find(([pattern]) => pattern.test(metric));
  if (found !== undefined) return found[1];
  const known = [...taskMetrics['zero-shot'], ...taskMetrics.retrieval, ...probeExamples];
  throw new UsageError(
    `There is no metric "${metric}"${didYouMean(metric, known)}; metrics are ${known.join(', ')}.`,
  );
}

/** True for metrics of which less is better. */
export function isLowerBetter(metric: string): boolean {
  return metric.endsWith('median_rank');
}

/** The tasks that an entry of `measure` needs. */
export function tasksOf({ metrics }: Pick<MeasureEntry, 'metrics'>): EvalTask[] {
  return [...new Set(metrics.map(taskOfMetric))];
}

/** Numbers of shots and of neighbours that an entry of `measure` names, such as 5 for `few_shot@5`. */
export function probeNumbers({ metrics }: Pick<MeasureEntry, 'metrics'>): ProbeOptions {
  const numbersOf = (start: string): number[] =>
    metrics
      .filter((metric) => metric.startsWith(start))
      .map((metric) => Number(metric.slice(start.length)));
  const [shots, neighbours] = [numbersOf('few_shot@'), numbersOf('knn@')];
  return { ...(shots.length > 0 && { shots }), ...(neighbours.length > 0 && { neighbours }) };
}

/**
 * The columns of a study.
 *
 * @throws UsageError for an unknown metric, or none.
 */
export function columnsOf({ measure }: Pick<StudyOptions, 'measure'>): StudyColumn[] {
  return measure.flatMap(({ name, metrics, kind }) => {
    if (metrics.length === 0) {
      throw new UsageError(`The data set "${name}" of "measure" has no metrics; name one.`);
    }
    return metrics.map((metric): StudyColumn => ({
      id: `${name}, ${metric}`,
      dataset: name,
      metric,
      task: taskOfMetric(metric),
      ...(kind !== undefined && { kind }),
      lowerIsBetter: isLowerBetter(metric),
    }));
  });
}
