import { at } from '../base/at.js';
import type { FloatDType } from '@bantam/torch';
import { openSource, type Source } from '../data/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import { didYouMean } from '../base/did-you-mean.js';
import type { LoadedModel } from '../models/index.js';
import { evalDatasets } from './datasets.js';
import { evaluate } from './evaluate.js';
import { plainTasks, type PlainTask } from './tasks/result.js';

/** Options of {@link Validator.measure}. */
export interface MeasureOptions {
  readonly precision: FloatDType;
  /** Receives progress in words. */
  readonly onProgress: (message: string) => void;
}

/** Measures models by one metric on the same data; see {@link openValidator}. */
export interface Validator {
  /** Less is better, as for ranks. */
  readonly lowerIsBetter: boolean;
  measure(model: LoadedModel, options: MeasureOptions): Promise<number>;
}

/** Makes a {@link Validator} before a run begins, as {@link openValidator} does. */
export type OpenValidator = (settings: {
  /** Source specification of the data to measure on. */
  readonly data: string;
  readonly metric: string;
}) => Promise<Validator>;

/** The metrics of each task, as {@link evaluate} names them. */
export const taskMetrics: Readonly<Record<PlainTask, readonly string[]>> = {
  'zero-shot': ['acc1', 'acc5', 'mean_per_class_recall', 'F1-macro_all', 'mean_average_precision'],
  retrieval: [
    ...['image', 'text'].flatMap((way) =>
      ['recall@1', 'recall@5', 'recall@10', 'median_rank', 'mean_reciprocal_rank'].map(
        (metric) => `${way}_retrieval_${metric}`,
      ),
    ),
    'mean_recall@1',
  ],
};

/**
 * Makes what measures models while they train, by {@link evaluate}. Where the data are several sets
 * or have several classifications, the value is the mean over them.
 *
 * @throws UsageError for an unknown metric; BantamError for data that cannot be read, or do not have
 * the metric.
 */
export const openValidator: OpenValidator = async ({ data, metric }) => {
  const task = taskOf(metric);
  const datasets = evalDatasets(data);
  for (const { spec } of datasets) checkMetric(await openSource(spec), { metric, task });
  return {
    lowerIsBetter: metric.endsWith('median_rank'),
    async measure(model, { precision, onProgress }) {
      const results = await evaluate(model, datasets, {
        tasks: [task],
        precision,
        onProgress: ({ dataset, stage, done, total }) => {
          onProgress(`${dataset}: ${done} of ${total} ${stage}`);
        },
      });
      const values = results
        .map(({ metrics }) => metrics[metric])
        .filter((value) => typeof value === 'number');
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    },
  };
};

function taskOf(metric: string): PlainTask {
  const found = plainTasks.find((task) => taskMetrics[task].includes(metric));
  if (found !== undefined) return found;
  const known = plainTasks.flatMap((task) => taskMetrics[task]);
  throw new UsageError(
    `There is no metric "${metric}"${didYouMean(metric, known)}; validation.metric is one of ${known.join(', ')}.`,
  );
}

/** Refuses before training what would fail after a part of it. */
function checkMetric(
  { spec, labelSets }: Source,
  { metric, task }: { metric: string; task: PlainTask },
): void {
  if (task !== 'zero-shot') return;
  const isMultiLabel = Object.values(labelSets).some(({ several }) => several !== undefined);
  if (isMultiLabel !== (metric === 'mean_average_precision')) {
    throw new BantamError(
      isMultiLabel
        ? `The images of "${spec}" have several classes each, so "${metric}" cannot be measured on it; choose mean_average_precision.`
        : `"mean_average_precision" is of images with several classes, which those of "${spec}" do not have; choose acc1.`,
    );
  }
  const sizes = Object.values(labelSets).map(({ classes }) => classes.length);
  if (sizes.length > 0 && (metric !== 'acc5' || Math.max(...sizes) >= 5)) return;
  const lack = sizes.length === 0 ? 'has no classes' : 'has fewer than five classes';
  throw new BantamError(
    `"${spec}" ${lack}, so "${metric}" cannot be measured on it; choose another validation.metric, such as ${at(taskMetrics.retrieval, 0)}, or other data.`,
  );
}
