import { at } from '../base/at.js';
import type { FloatDType } from '@bantam/torch';
import { openSource, type Source } from '../data/index.js';
import { BantamError, UsageError } from '../base/errors.js';
import { didYouMean } from '../base/did-you-mean.js';
import { mean } from '../base/statistics.js';
import type { LoadedModel } from '../models/index.js';
import { evalDatasets, type EvalDataset } from './datasets.js';
import { evaluate } from './evaluate.js';
import type { Interval } from './statistics/intervals.js';
import { plainTasks, type EvaluationResult, type PlainTask } from './tasks/result.js';

/** Options of {@link Validator.measure}. */
export interface MeasureOptions {
  readonly precision: FloatDType;
  /** Ends the measurement: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Receives progress in words. */
  readonly onProgress: (message: string) => void;
}

/** Measures models by one metric on the same data; see {@link openValidator}. */
export interface Validator {
  /** Less is better, as for ranks. */
  readonly lowerIsBetter: boolean;
  /** Images that it measures on, if it knows. */
  readonly samples?: number;
  measure(model: LoadedModel, options: MeasureOptions): Promise<number>;
}

/** Data and metric of a {@link Validator}. */
export interface ValidatorSettings {
  /** Source specification of the data to measure on. */
  readonly data: string;
  readonly metric: string;
  /** The data, if they are opened already; `data` then only names them. */
  readonly source?: Source;
}

/** Makes a {@link Validator} before a run begins, as {@link openValidator} does. */
export type OpenValidator = (settings: ValidatorSettings) => Promise<Validator>;

/** A metric's value with its sampling error. */
export interface MeasuredMetric {
  readonly value: number;
  /** 95 % interval, for a single data set and metrics that have one. */
  readonly interval?: Interval;
  /** The value of guessing; null where the metric has none. */
  readonly chance: number | null;
  /** Images that took part. */
  readonly samples: number;
}

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

/** Names of the metrics of {@link openValidator}. */
export const metricNames: readonly string[] = plainTasks.flatMap((task) => taskMetrics[task]);

/** Measures models by one metric, as a {@link Validator} does, with the sampling error. */
export interface MetricMeter {
  readonly lowerIsBetter: boolean;
  /** Images of the data. */
  readonly samples: number;
  measure(model: LoadedModel, options: MeasureOptions): Promise<MeasuredMetric>;
}

/**
 * Makes what measures models by one metric of {@link evaluate}. Where the data are several sets or
 * have several classifications, the value is the mean over them.
 *
 * @throws UsageError for an unknown metric; BantamError for data that cannot be read, or do not have
 * the metric.
 */
export async function openMetric(settings: ValidatorSettings): Promise<MetricMeter> {
  const { data, metric, source } = settings;
  const task = taskOf(metric);
  const datasets: readonly EvalDataset[] =
    source === undefined ? evalDatasets(data) : [{ name: data, spec: data, source }];
  let samples = 0;
  for (const dataset of datasets) {
    const opened = dataset.source ?? (await openSource(dataset.spec));
    checkMetric(opened, { metric, task });
    samples += opened.size;
  }
  return {
    lowerIsBetter: metric.endsWith('median_rank'),
    samples,
    async measure(model, { precision, signal, onProgress }) {
      const results = await evaluate(model, datasets, {
        tasks: [task],
        precision,
        signal,
        onProgress: ({ dataset, stage, done, total }) => {
          onProgress(`${dataset}: ${done} of ${total} ${stage}`);
        },
      });
      return measurementOf(results, metric);
    },
  };
}

/** The mean over results, with the interval of a single one. */
function measurementOf(results: readonly EvaluationResult[], metric: string): MeasuredMetric {
  const meanOf = (values: readonly (number | null | undefined)[]): number =>
    mean(values.filter((value) => typeof value === 'number'));
  const chance = meanOf(results.map((one) => one.chance[metric]));
  const interval = results.length === 1 ? results[0]?.intervals?.[metric] : undefined;
  return {
    value: meanOf(results.map(({ metrics }) => metrics[metric])),
    ...(interval !== undefined && { interval }),
    chance: Number.isNaN(chance) ? null : chance,
    samples: results.reduce((sum, { samples }) => sum + samples, 0),
  };
}

/**
 * Makes what measures models while they train: {@link openMetric} without the sampling error.
 *
 * @throws UsageError or BantamError as {@link openMetric} does.
 */
export const openValidator: OpenValidator = async (settings) => {
  const meter = await openMetric(settings);
  return {
    lowerIsBetter: meter.lowerIsBetter,
    samples: meter.samples,
    measure: async (model, options) => (await meter.measure(model, options)).value,
  };
};

function taskOf(metric: string): PlainTask {
  const found = plainTasks.find((task) => taskMetrics[task].includes(metric));
  if (found !== undefined) return found;
  throw new UsageError(
    `There is no metric "${metric}"${didYouMean(metric, metricNames)}; the metrics are ${metricNames.join(', ')}.`,
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
