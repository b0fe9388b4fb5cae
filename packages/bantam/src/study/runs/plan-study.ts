/** The runs of a study with their planned time and memory; nothing is trained or written. */
import { BantamError } from '../../base/errors.js';
import {
  parseBudget,
  planTime,
  unspent,
  type RunOptions,
  type TrainingPlan,
} from '../../train/index.js';
import type { Arm } from '../config/axes.js';
import type { StudyOptions } from '../config/schema.js';
import { isFinished } from './carry-out.js';
import { prepareStudy } from './prepare.js';
import { forEachJob, threadsOf } from './process-pool.js';
import { studyPaths } from './study-paths.js';
import { canonicalJson, studyRun, type StudyRun } from './study-run.js';

/** A run of a study's plan. */
export interface PlannedStudyRun {
  readonly grid: string;
  readonly arm: string;
  readonly seed: number;
  /** Peak learning rate; `tuned` if a search will choose it, `default` if the options name none. */
  readonly lr: number | 'tuned' | 'default';
  /** True for a run that only tries a learning rate. */
  readonly isTrial: boolean;
  /** True if it is finished already. */
  readonly isDone: boolean;
  readonly records: number;
  /** Null if it would not fit into memory. */
  readonly samples: number | null;
  readonly flops: number | null;
  /** Seconds of training; waiting for data, evaluation and saving come on top. */
  readonly seconds: number | null;
  /** Peak memory in bytes. */
  readonly bytes: number;
}

/** The plan of a study. */
export interface StudyPlan {
  readonly runs: readonly PlannedStudyRun[];
  /** Seconds of the runs that are not finished, so many at a time. */
  readonly seconds: number;
  /** Memory of as many of the largest runs as are carried out at a time, in bytes. */
  readonly bytes: number;
  readonly processes: number;
  /** Threads of each process. */
  readonly threads: number;
}

/** Options of {@link planStudy}. */
export interface PlanStudyOptions {
  /** Folder of the study, whose finished runs are found. Default: none. */
  readonly out?: string;
  readonly processes?: number;
  readonly signal?: AbortSignal | undefined;
  /** Receives how many kinds of runs are measured. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A run that a study needs; for the choice of a tuned rate, the first rate stands for it. */
interface Listed {
  readonly arm: Arm;
  readonly run: StudyRun;
  readonly isTrial: boolean;
  readonly isTuned: boolean;
}

/**
 * Lists the runs of a study with planned time and memory. Steps of each kind of run, those that differ
 * in more than seed, learning rate, subset and budget, are measured once on noise.
 *
 * @throws UsageError or BantamError as `runStudy` does, or if a kind of run cannot be planned.
 */
export async function planStudy(
  options: StudyOptions,
  { out = '', processes = 1, signal, onProgress }: PlanStudyOptions = {},
): Promise<StudyPlan> {
  const { study, arms, seeds, data, ...prepared } = await prepareStudy(options, undefined);
  const { measurements, tuning } = prepared;
  const tried = study.tune?.lr ?? [];
  const folder = studyPaths(out).runs;
  const resolved = (arm: Arm, seed: number, lr?: number): Promise<StudyRun> =>
    studyRun(arm, { seed, data, spec: study.data, folder, ...(lr !== undefined && { lr }) });
  const listed: Listed[] = [];
  for (const lr of tried) {
    for (const arm of arms) {
      const [seed = 0] = seeds;
      listed.push({ arm, run: await resolved(arm, seed, lr), isTrial: true, isTuned: false });
    }
  }
  // The chosen rate's run of the first seed is one of the trials.
  for (const seed of tried.length > 0 ? seeds.slice(1) : seeds) {
    for (const arm of arms) {
      const run = await resolved(arm, seed, tried[0]);
      listed.push({ arm, run, isTrial: false, isTuned: tried.length > 0 });
    }
  }
  const unique = [...new Map(listed.map((one) => [one.run.id, one])).values()];
  const kinds = new Map(unique.map(({ run }) => [kindOf(run.options), run.options]));
  const plans = await measureKinds([...kinds.entries()], { processes, signal, onProgress });
  const trial = tuning === undefined ? [] : [tuning];
  const runs = unique.map((one) => {
    const isDone = isFinished(one.run.folder, one.isTrial ? trial : measurements);
    // The run of a tuned rate is not known before its trials are done.
    return { ...plannedRun(one, plans), isDone: isDone && !one.isTuned };
  });
  const left = runs.filter(({ isDone }) => !isDone);
  const bytes = left
    .map((run) => run.bytes)
    .sort((a, b) => b - a)
    .slice(0, processes)
    .reduce((sum, each) => sum + each, 0);
  const seconds = left.reduce((sum, run) => sum + (run.seconds ?? 0), 0);
  const lanes = Math.min(processes, Math.max(1, left.length));
  return { runs, seconds: seconds / lanes, bytes, processes, threads: threadsOf(processes) };
}

/** Equal for runs whose steps cost the same. */
function kindOf({ train, ...options }: RunOptions): string {
  return canonicalJson({ ...options, train: { ...train, lr: 0 }, seed: 0, budget: '', data: '' });
}

async function measureKinds(
  kinds: readonly (readonly [kind: string, options: RunOptions])[],
  { processes = 1, signal, onProgress }: PlanStudyOptions,
): Promise<Map<string, TrainingPlan>> {
  const plans = new Map<string, TrainingPlan>();
  let failure: string | undefined;
  onProgress?.(0, kinds.length);
  await forEachJob(kinds, {
    processes,
    signal,
    jobOf: ([, options]) => ({ kind: 'plan', options }),
    onEnd: ([kind], outcome) => {
      if (outcome.kind === 'failed') failure ??= outcome.message;
      if (outcome.kind === 'done' && outcome.plan !== undefined) plans.set(kind, outcome.plan);
      onProgress?.(plans.size, kinds.length);
    },
  });
  if (failure !== undefined) throw new BantamError(failure);
  if (plans.size < kinds.length) throw new BantamError('The plan of the study was interrupted.');
  return plans;
}

function plannedRun(
  { arm, run, isTrial, isTuned }: Listed,
  plans: ReadonlyMap<string, TrainingPlan>,
): Omit<PlannedStudyRun, 'isDone'> {
  const plan = plans.get(kindOf(run.options));
  if (plan === undefined) throw new BantamError(`The run of ${arm.name} has no plan.`);
  const { memory, time } = plan;
  const own =
    time === null
      ? null
      : planTime(parseBudget(run.options.budget), {
          samplesPerStep: time.samplesPerStep,
          phases: time.phases,
          preparation: time.preparation,
          spent: unspent,
        });
  return {
    grid: arm.grid,
    arm: arm.name,
    seed: run.seed,
    lr: isTuned ? 'tuned' : (run.options.train?.lr ?? 'default'),
    isTrial,
    records: run.data.records,
    samples: own?.samples ?? null,
    flops: own?.flops ?? null,
    seconds: own?.total ?? null,
    bytes: memory.total,
  };
}
