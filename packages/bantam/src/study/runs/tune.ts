/** The search for each arm's learning rate: the best of a few on validation data, with one seed. */
import { at } from '../../base/at.js';
import type { Arm } from '../config/axes.js';
import { isLowerBetter, taskOfMetric } from '../config/metrics.js';
import type { TuneOptions } from '../config/schema.js';
import type { TunedRate } from '../results.js';
import { readResults, valueOf, type Measurement } from './measurement.js';
import type { StudyRun } from './study-run.js';

/** A run that tries a learning rate of an arm. */
export interface RateTrial {
  readonly arm: Arm;
  readonly lr: number;
  readonly run: Pick<StudyRun, 'folder'>;
}

/** The best rate of an arm by the trials that are measured. */
export function chooseRate(
  arm: Arm,
  trials: readonly RateTrial[],
  { tune, measurement }: { readonly tune: TuneOptions; readonly measurement: Measurement },
): TunedRate {
  const { metric } = tune;
  const column = { metric, task: taskOfMetric(metric), dataset: measurement.dataset.name };
  const tried = trials
    .filter((trial) => trial.arm === arm)
    .sort((a, b) => a.lr - b.lr)
    .map(({ lr, run }) => {
      const results = readResults(run.folder, measurement);
      return { lr, value: results === undefined ? null : valueOf(results, column).value };
    });
  const sign = isLowerBetter(metric) ? -1 : 1;
  const best = tried
    .flatMap(({ lr, value }) => (value === null ? [] : [{ lr, value }]))
    .reduce<{ lr: number; value: number } | null>(
      (before, one) => (before === null || sign * (one.value - before.value) > 0 ? one : before),
      null,
    );
  const chosen = best?.lr ?? null;
  const isAtEnd = tried.length > 1 && (chosen === at(tried, 0).lr || chosen === at(tried, -1).lr);
  return { grid: arm.grid, arm: arm.name, chosen, isAtEnd, tried };
}
