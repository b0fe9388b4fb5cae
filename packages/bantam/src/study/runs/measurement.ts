/** Measurements of trained models, and the files of their results in the run directories. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import { openSource } from '../../data/index.js';
import type { EvalDataset, EvalTask, EvaluationResult, ProbeOptions } from '../../eval/index.js';
import { dataFingerprint } from '../../train/index.js';
import { probeNumbers, tasksOf, type StudyColumn } from '../config/metrics.js';
import type { MeasureEntry } from '../config/schema.js';
import { canonicalJson } from './study-run.js';

/** Tasks on a data set, measured of every model. */
export interface Measurement {
  readonly dataset: EvalDataset;
  readonly tasks: readonly EvalTask[];
  readonly probe: ProbeOptions;
  /** Classes and prompts in place of those of the data. */
  readonly prompts?: MeasurementPrompts;
  /** Classification that is reported, if the data have several. */
  readonly labels?: string;
  /** File of the results, within a run directory. */
  readonly file: string;
}

/** Classes and prompts of zero-shot classification, as evaluation takes them. */
export interface MeasurementPrompts {
  readonly classes?: readonly string[];
  /** Name of a list, or prompts with `{}` for the class. */
  readonly templates?: string | readonly string[];
}

/** Changes with the meaning of results, so that older ones are measured again. */
const format = 1;

/**
 * An entry of `measure` with the file of its results, named by everything that they depend on.
 *
 * @throws BantamError if its data cannot be read.
 */
export async function measurementOf(
  entry: MeasureEntry,
  prompts?: MeasurementPrompts,
): Promise<Measurement> {
  const { name, data, kind, labels, train, validation } = entry;
  const dataset: EvalDataset = {
    name,
    spec: data,
    ...(kind !== undefined && { kind }),
    ...(train !== undefined && { train }),
    ...(validation !== undefined && { validation }),
  };
  const tasks = tasksOf(entry);
  const probe = probeNumbers(entry);
  const digests: string[] = [];
  for (const spec of [data, train, validation]) {
    if (spec === undefined) continue;
    digests.push((await dataFingerprint(await openSource(spec))).digest);
  }
  const facts = canonicalJson({ format, dataset, tasks, probe, digests, prompts });
  const hash = createHash('sha256').update(facts).digest('hex').slice(0, 12);
  const readable = name.replaceAll(/[^\w.-]+/g, '-');
  return {
    dataset,
    tasks,
    probe,
    ...(prompts !== undefined && { prompts }),
    ...(labels !== undefined && { labels }),
    file: join('evaluation', `${readable}-${hash}.json`),
  };
}

/** The results of a measurement of a run; undefined if there are none. */
export function readResults(run: string, { file }: Measurement): EvaluationResult[] | undefined {
  const path = join(run, file);
  if (!existsSync(path)) return undefined;
  // Written below, whole or not at all.
  return JSON.parse(readFileSync(path, 'utf8')) as EvaluationResult[];
}

/** Writes the results of a measurement, whole or not at all. */
export function writeResults(
  run: string,
  { file }: Measurement,
  results: readonly EvaluationResult[],
): void {
  const path = join(run, file);
  makeFolder(join(path, '..'));
  writeFileAtomic(path, [Buffer.from(`${JSON.stringify(results)}\n`)]);
}

/** A metric of a run. */
export interface MeasuredValue {
  readonly value: number;
  readonly chance?: number;
  /** 95 % interval of what other images of the kind would give. */
  readonly interval?: readonly [number, number];
}

/**
 * The value of a column in the results of its measurement.
 *
 * @throws BantamError if the data do not have the metric.
 */
export function valueOf(
  results: readonly EvaluationResult[],
  { metric, task, dataset }: Pick<StudyColumn, 'metric' | 'task' | 'dataset'>,
  { labels }: Pick<Measurement, 'labels'> = {},
): MeasuredValue {
  const own = results.filter((one) => one.task === task);
  const found = labels === undefined ? own[0] : own.find((one) => one.labels === labels);
  const value = found?.metrics[metric];
  if (found === undefined || typeof value !== 'number') {
    const named = labels === undefined ? '' : ` of the classification "${labels}"`;
    throw new BantamError(
      `"${dataset}" has no ${metric}${named}; name another metric in "measure".`,
    );
  }
  const chance = found.chance[metric];
  const interval = found.intervals?.[metric];
  return {
    value,
    ...(typeof chance === 'number' && { chance }),
    ...(interval !== undefined && { interval }),
  };
}
