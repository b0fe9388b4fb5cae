/** A run of a study: its whole options, and the name that they give it. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { hashModelFiles } from '../../eval/index.js';
import { isObject } from '../../base/schema.js';
import { modelConfig, parseModelConfig } from '../../models/index.js';
import { readRunOptions, type RunOptions, type TrainInput } from '../../train/index.js';
import { mergeOptions, type Arm } from '../config/axes.js';
import type { ArmData, StudyData } from './arm-data.js';

/** A training that a study needs; arms with equal options and data share one. */
export interface StudyRun {
  /** Hash of the resolved options and the data. */
  readonly id: string;
  readonly folder: string;
  readonly seed: number;
  readonly options: RunOptions & { readonly budget: string };
  readonly data: ArmData;
}

/** Changes if equal options would train another model. */
const format = 1;

/** Settings that change how a run is carried out, and not its result. */
const execution: ReadonlySet<keyof TrainInput> = new Set([
  'workers',
  'checkpointMinutes',
  'keepCheckpoints',
  'memoryLimit',
  'timeLimit',
]);

/** Parts of a {@link StudyRun} beside its arm. */
export interface StudyRunOptions {
  readonly seed: number;
  /** Learning rate in place of the arm's, if it is tuned. */
  readonly lr?: number;
  readonly data: StudyData;
  /** Specification of the study's data. */
  readonly spec: string;
  /** Folder of all runs. */
  readonly folder: string;
}

/**
 * The run of an arm with one seed.
 *
 * @throws UsageError for a wrong option; BantamError if its data cannot be read.
 */
export async function studyRun(
  arm: Arm,
  { seed, lr, data: studyData, spec, folder }: StudyRunOptions,
): Promise<StudyRun> {
  const data = await studyData.of(arm, seed);
  const own = lr === undefined ? arm.options : mergeOptions(arm.options, { train: { lr } });
  const { model, init = {} } = own;
  const isStarted = (init.model ?? '') !== '' || (init.image ?? '') !== '';
  const options: StudyRun['options'] = {
    ...own,
    ...(model === undefined && !isStarted && { model: studyData.defaultModel }),
    data: data.spec,
    budget: budgetOf(arm, data),
    // Arms with many passes would hold out a part of their data, and others would not.
    validation: { data: 'none', ...own.validation },
    seed,
  };
  const settings = readRunOptions(options);
  const id = await hashOf(settings, { spec, digest: data.digest });
  return { id, folder: join(folder, id), seed, options, data };
}

/** The budget of an arm's run, in text; passes over the data as samples. */
function budgetOf({ cost }: Arm, { samplesPerEpoch }: ArmData): string {
  if ('budget' in cost) return cost.budget;
  return `${Math.max(1, Math.round(cost.epochs * samplesPerEpoch))}samples`;
}

/** SHA-256 of everything that a run's result depends on, its first 64 bits. */
async function hashOf(
  settings: ReturnType<typeof readRunOptions>,
  data: { readonly spec: string; readonly digest: string },
): Promise<string> {
  const { model, train, init } = settings;
  const initial = [init.model, init.image].filter((name) => name !== '');
  const facts = {
    format,
    ...settings,
    data,
    model: typeof model === 'string' ? modelConfig(model) : model && parseModelConfig(model),
    train: Object.fromEntries(
      Object.entries(train).filter(([name]) => !execution.has(name as keyof TrainInput)),
    ),
    initial: await Promise.all(initial.map(hashModelFiles)),
  };
  return createHash('sha256').update(canonicalJson(facts)).digest('hex').slice(0, 16);
}

/** JSON with sorted names, the same for equal values. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    isObject(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
