/** A plan of a training: what to train on these data, on this machine, within this budget. */
import { createHash } from 'node:crypto';
import { existsSync, rmdirSync, rmSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { CpuLoad } from '../../base/cpu-load.js';
import { UsageError } from '../../base/errors.js';
import { FolderLock } from '../../base/folder-lock.js';
import { makeFolder } from '../../base/make-folder.js';
import { version } from '../../base/version.js';
import { metricNames } from '../../eval/index.js';
import { parseBudget, withoutEpochs } from '../../train/index.js';
import type { StudyOptions } from '../config/schema.js';
import { StudyData } from '../runs/arm-data.js';
import { measurementOf, type MeasurementPrompts } from '../runs/measurement.js';
import { threadsOf } from '../runs/process-pool.js';
import { canonicalJson } from '../runs/study-run.js';
import { busyNote, tooShort, trainedNote } from './advice.js';
import { listCandidates, type Candidate, type LeftOut } from './candidates.js';
import { choicesOf } from './choices.js';
import { Field } from './field.js';
import { holdsOther, otherPlan, partsIn, removeParts } from './plan-folder.js';
import { Measuring } from './measuring.js';
import { estimateCandidates } from './memory.js';
import { Pilots, type PlanEvent } from './pilots.js';
import { openPlanData, type PlanData } from './plan-data.js';
import { planFormat, planPaths, type PlannedChoice, type TrainingChoices } from './plan-file.js';
import { PlanStateFile } from './plan-state.js';
import { sharedPrior } from './prior.js';
import { throwIfInterrupted } from './rates.js';

/** Options of {@link planTraining}. */
export interface PlanTrainingOptions extends MeasurementPrompts {
  /** Source specification of the data. */
  readonly data: string;
  /** Time for pilots and training, such as 8h. */
  readonly budget: string;
  /** Name of a metric, `retrieval` or `zero-shot`. Default: by the captions. */
  readonly metric?: string | undefined;
  /** Fraction of the budget for pilots; 0: none. Default 0.1. */
  readonly pilots?: number;
  /** Data to measure on; default `held-out`, a part of the data. */
  readonly validate?: string;
  /** Scores of the samples, by which fractions of the data are candidates. */
  readonly scores?: StudyOptions['scores'];
  /** Memory that training may take, in GB; 0, the default: all. */
  readonly memory?: number;
  /** Presets among which the model is chosen. Default: small ones of all kinds. */
  readonly models?: readonly string[] | undefined;
}

/** Control of {@link planTraining}. */
export interface PlanTrainingControl {
  /** Folder of the plan. */
  readonly out: string;
  /** Replaces another plan in the folder; default false. */
  readonly force?: boolean;
  /** Ends planning, with a checkpoint of the present pilot. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: PlanEvent) => void;
}

/**
 * Seconds after which no speed is timed any more, with pilots and without: the prior alone is too rough to
 * wait for.
 */
const longestMeasuring = { withPilots: 300, without: 60 } as const;

/** Fewest steps of a whole run. */
const fewestSteps = 20;

/**
 * Plans a training: measures rates, pilots candidates by successive halving within a part of the budget,
 * fits their learning curves together with the prior, and ranks them by the metric that a
 * run of the rest of the budget would reach. Writes `plan.json`; a plan that was interrupted resumes where
 * it was, with finished pilots taken.
 *
 * @throws UsageError for a wrong option or a budget that is too small; BantamError if data cannot be read
 * or planned for, another process plans in the folder, or the signal came; UsageError for a folder with
 * another plan, of which nothing is changed. A new folder is left only if
 * something was measured.
 */
export async function planTraining(
  options: PlanTrainingOptions,
  { out, force = false, signal, onEvent }: PlanTrainingControl,
): Promise<TrainingChoices> {
  const { pilots = 0.1, memory = 0, budget } = options;
  const { unit, amount: total } = parseBudget(withoutEpochs(budget, 1));
  if (unit !== 'seconds') {
    throw new UsageError(
      `A plan is for a time, such as 30m or 8h, and "${budget}" is ${unit}; equal ${unit} are compared by "bantam study".`,
    );
  }
  if (!(pilots >= 0 && pilots < 0.9)) {
    throw new UsageError(
      'Pilots take a fraction of the budget from 0 up to 90 %, such as 0.1; most is for the run itself.',
    );
  }
  const created = firstMissing(out);
  makeFolder(out);
  const lock = new FolderLock(out);
  try {
    const plan = await carryOutPlan(options, { out, force, total, pilots, memory, signal, onEvent }); // prettier-ignore
    writeFileAtomic(planPaths(out).plan, [Buffer.from(`${JSON.stringify(plan, null, 1)}\n`)]);
    return plan;
  } catch (error) {
    const isWorthless = error instanceof UsageError || !existsSync(planPaths(out).state);
    if (created !== undefined && isWorthless) removeMade(out, created);
    throw error;
  } finally {
    lock.release();
  }
}

/** The uppermost of a folder and those above it that is not there; undefined: all are. */
function firstMissing(folder: string): string | undefined {
  if (existsSync(folder)) return undefined;
  return firstMissing(dirname(folder)) ?? folder;
}

/** Removes a folder, and of those above it that were made with it the ones that nobody else uses. */
function removeMade(folder: string, uppermost: string): void {
  rmSync(folder, { recursive: true });
  for (let above = folder; above !== uppermost;) {
    above = dirname(above);
    try {
      rmdirSync(above);
    } catch {
      // Another plan has its folder there.
      return;
    }
  }
}

/** A plan whose options are checked. */
interface CheckedPlan {
  readonly out: string;
  readonly force: boolean;
  /** Seconds of the budget. */
  readonly total: number;
  readonly pilots: number;
  readonly memory: number;
  readonly signal: AbortSignal | undefined;
  readonly onEvent: ((event: PlanEvent) => void) | undefined;
}

async function carryOutPlan(
  options: PlanTrainingOptions,
  { out, force, total, pilots: fraction, memory, signal, onEvent }: CheckedPlan,
): Promise<TrainingChoices> {
  const load = new CpuLoad();
  const paths = planPaths(out);
  const { scores, budget } = options;
  const onStage = (message: string): void => onEvent?.({ kind: 'stage', message });
  onStage('reading the data');
  const partsBefore = partsIn(paths.data);
  const { data, ...listed } = await planCandidates(options, paths.data);
  const key = keyOf(options, data, { total, fraction });
  const state = new PlanStateFile(paths.state, key);
  if (holdsOther(state, out)) {
    if (!force) {
      removeParts(paths.data, partsBefore);
      throw otherPlan(out);
    }
    for (const file of [paths.plan, paths.report, paths.state]) rmSync(file, { force: true });
  }
  throwIfInterrupted(signal);
  const { candidateFacts, validation, unmeasurable, fingerprint } = data;
  const { metric } = candidateFacts;
  // Before anything is measured, so that a wrong file fails at once.
  const studyData = await StudyData.open(
    { data: data.train, ...(scores !== undefined && { scores }) },
    paths.subsets,
  );
  const seconds = unmeasurable === undefined ? fraction * total : 0;
  const field = new Field({
    ...listed,
    data,
    shared: sharedPrior(metric, validation),
    total,
    memory,
    estimates: estimateCandidates(listed.candidates, { source: data.source, memory }),
    state,
  });
  const longest = seconds > 0 ? longestMeasuring.withPilots : longestMeasuring.without;
  const measuring = new Measuring({ field, state, load, longest, signal, onStage });
  await measuring.measureLikely();
  field.setRunSeconds(total - seconds);
  const refusal = lackOfTime(field, { budget, pilots: seconds / total });
  if (refusal !== undefined) {
    // The cache keeps the speeds, so that the same command has no time of timing to pay again.
    state.clear();
    throw new UsageError(refusal);
  }
  const prompts = promptsOf(options);
  const entry = { name: 'validation', data: validation.data, metrics: [metric] };
  const pilots = new Pilots({
    field,
    measuring,
    state,
    studyData,
    train: data.train,
    measurement: seconds > 0 ? await measurementOf(entry, prompts) : undefined,
    metric,
    folder: paths.runs,
    memory,
    seconds,
    signal,
    onEvent,
  });
  const notes = [
    ...(unmeasurable === undefined ? [] : [unmeasurable]),
    ...trainedNote(validation, fingerprint.digest),
    ...(await pilots.carryOut()),
    ...busyNote(field.others),
  ];
  const isPriorOnly = pilots.piloted.length === 0;
  // Without pilots their part is the run's; with them more was timed.
  field.setRunSeconds(isPriorOnly ? total : total - seconds);
  // A run is validated by neither probes nor other prompts.
  const isValidated =
    unmeasurable === undefined && prompts === undefined && metricNames.includes(metric);
  const { notes: remarks, ...choices } = await choicesOf({
    field,
    studyData,
    pilots,
    validation: isValidated ? { data: validation.data, metric } : null,
    total,
    pilotSeconds: seconds,
  });
  notes.push(...remarks, ...restartNote(choices.choices));
  const { data: measured, images, isHeldOut, chance } = validation;
  return {
    bantam: 'plan',
    formatVersion: planFormat,
    data: options.data,
    fingerprint,
    pairs: data.pairs,
    metric,
    validation: { data: measured, images, isHeldOut, chance },
    budget,
    seconds: total,
    measuringSeconds: Math.round(10 * field.measuringSeconds) / 10,
    pilotSeconds: isPriorOnly ? 0 : seconds,
    runSeconds: field.runSeconds,
    machine: machineFacts(),
    isPriorOnly,
    candidates: listed.candidates.length,
    rungs: pilots.rungs,
    ...choices,
    curve: pilots.posterior().curve(),
    leftOut: field.leftOut,
    notes,
  };
}

/** The reason why the run does not resume its pilot, and how little that costs. */
function restartNote([first]: readonly PlannedChoice[]): string[] {
  const last = first?.pilots.at(-1);
  if (first === undefined || last === undefined) return [];
  const part = (100 * last.samples) / first.samples;
  return [
    `The run starts from the beginning, as the schedule of its pilot has ended at a learning rate of zero; that pilot has ${part.toPrecision(2)} % of the samples of the run.`,
  ];
}

function machineFacts(): TrainingChoices['machine'] {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  return { cpu, cores: availableParallelism(), threads: threadsOf(1) };
}

/** Classes and prompts in place of the data's own; undefined: neither. */
function promptsOf({ classes, templates }: PlanTrainingOptions): MeasurementPrompts | undefined {
  if (classes === undefined && templates === undefined) return undefined;
  return {
    ...(classes !== undefined && { classes }),
    ...(templates !== undefined && { templates }),
  };
}

/** Hash of everything that the decisions of a plan depend on, the machine's speed apart. */
function keyOf(
  options: PlanTrainingOptions,
  { digest, validation, candidateFacts }: PlanData,
  { total, fraction }: { readonly total: number; readonly fraction: number },
): string {
  const { models, scores, memory } = options;
  const prompts = promptsOf(options);
  const chosen = { models, scores, memory, prompts, total, fraction, threads: threadsOf(1) };
  return createHash('sha256')
    .update(canonicalJson({ version, planFormat, digest, validation, candidateFacts, ...chosen }))
    .digest('hex')
    .slice(0, 16);
}

/**
 * The candidates of a plan, with its data opened.
 *
 * @param folder - Folder for the keys of the held-out part and the rest
 */
export async function planCandidates(
  options: PlanTrainingOptions,
  folder: string,
): Promise<{
  readonly data: PlanData;
  readonly candidates: readonly Candidate[];
  readonly leftOut: readonly LeftOut[];
}> {
  const { data: spec, metric, validate = 'held-out', classes, scores, models } = options;
  const data = await openPlanData({ data: spec, metric, validate, classes, folder });
  const facts = { ...data.candidateFacts, isScored: scores !== undefined, models };
  return { data, ...listCandidates(facts) };
}

/**
 * The refusal of a budget that is too small for any candidate; undefined: it is not.
 *
 * @param pilots - Fraction of the budget that pilots take
 */
function lackOfTime(
  field: Field,
  { budget, pilots }: { readonly budget: string; readonly pilots: number },
): string | undefined {
  const steps = Math.max(0, ...field.fitting().map((i) => field.stepsOf(i)));
  const { measuringSeconds, runSeconds, total } = field;
  const longer = runSeconds * Math.max(1, fewestSteps / steps);
  return tooShort({
    budget,
    total,
    timing: measuringSeconds,
    left: (1 - pilots) * total - measuringSeconds,
    steps,
    fewest: fewestSteps,
    needed: field.budgetFor(longer) / (1 - pilots),
    neededAgain: (field.budgetFor(longer) - measuringSeconds) / (1 - pilots),
  });
}
