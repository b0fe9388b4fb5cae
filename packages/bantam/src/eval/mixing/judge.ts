import type { FloatDType } from '@bantam/torch';
import { UsageError } from '../../base/errors.js';
import { openSource } from '../../data/index.js';
import type { LoadedModel } from '../../models/index.js';
import { metricNames, openMetric, type Measurement } from '../validator.js';

/** Options of {@link openJudge}. */
export interface JudgeOptions {
  /** Metric where more is better; default: `acc1` for data with classes, else `mean_recall@1`. */
  readonly metric?: string;
  readonly precision?: FloatDType;
  /** Receives progress in words. */
  readonly onProgress?: (message: string) => void;
}

/** Measures models by one metric on one data set, to choose among them. */
export interface Judge {
  readonly spec: string;
  readonly metric: string;
  measure(model: LoadedModel): Promise<Measurement>;
}

/**
 * Opens the data that models are chosen on.
 *
 * @throws UsageError for a metric that is unknown or where less is better; BantamError for data that
 * cannot be read or do not have the metric.
 */
export async function openJudge(spec: string, options: JudgeOptions = {}): Promise<Judge> {
  const { metric: wanted, precision = 'float32', onProgress } = options;
  const metric = wanted ?? (await usualMetric(spec));
  const meter = await openMetric({ data: spec, metric });
  if (meter.lowerIsBetter) {
    const others = metricNames.filter((name) => !name.endsWith('median_rank'));
    throw new UsageError(
      `Less is better of "${metric}"; choose among models by one of ${others.join(', ')}.`,
    );
  }
  return {
    spec,
    metric,
    measure: (model) =>
      meter.measure(model, {
        precision,
        onProgress: (message) => {
          onProgress?.(message);
        },
      }),
  };
}

/** Accuracy for data with classes, else the mean recall at 1 of both directions. */
async function usualMetric(spec: string): Promise<string> {
  // A specification of several sets, such as emoji, has classes.
  if (spec === 'emoji') return 'acc1';
  const { labelSets } = await openSource(spec);
  return Object.keys(labelSets).length > 0 ? 'acc1' : 'mean_recall@1';
}
