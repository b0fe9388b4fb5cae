import { openValidator, taskMetrics } from '../../eval/index.js';
import { gridsOf, type Arm, type Grid } from '../config/axes.js';
import { columnsOf, type StudyColumn } from '../config/metrics.js';
import { checkStudy } from '../config/read-study.js';
import type { StudyOptions } from '../config/schema.js';
import { StudyData } from './arm-data.js';
import { measurementOf, type Measurement } from './measurement.js';

/** A study that is checked and opened, before any of its runs. */
export interface PreparedStudy {
  readonly study: StudyOptions;
  readonly grids: readonly Grid[];
  /** The arms of all grids. */
  readonly arms: readonly Arm[];
  readonly seeds: readonly number[];
  readonly columns: readonly StudyColumn[];
  readonly data: StudyData;
  readonly measurements: readonly Measurement[];
  /** The measurement by which learning rates are tuned. */
  readonly tuning: Measurement | undefined;
}

/**
 * Checks a study and opens its data, so that what is wrong is said before anything is trained.
 *
 * @param subsets - Folder for the files of subsets; undefined: none are written.
 * @throws UsageError for a wrong setting; BantamError if data cannot be read or lack a metric.
 */
export async function prepareStudy(
  options: StudyOptions,
  subsets: string | undefined,
): Promise<PreparedStudy> {
  const study = checkStudy(options);
  const { measure, tune, seeds = [0, 1, 2] } = study;
  const grids = gridsOf(study);
  const columns = columnsOf(study);
  const tuned = tune && { name: 'tuning', data: tune.data, metrics: [tune.metric] };
  if (tuned !== undefined) columnsOf({ measure: [tuned] });
  for (const { data, metrics } of [...measure, ...(tuned === undefined ? [] : [tuned])]) {
    for (const metric of metrics.filter(isPlain)) await openValidator({ data, metric });
  }
  const measurements: Measurement[] = [];
  for (const entry of measure) measurements.push(await measurementOf(entry));
  return {
    study,
    grids,
    arms: grids.flatMap(({ arms }) => arms),
    seeds,
    columns,
    data: await StudyData.open(study, subsets),
    measurements,
    tuning: tuned && (await measurementOf(tuned)),
  };
}

function isPlain(metric: string): boolean {
  return Object.values(taskMetrics).some((metrics) => metrics.includes(metric));
}
