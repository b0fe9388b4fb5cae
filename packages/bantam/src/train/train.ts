/** Training of a model in a run directory, and the plan of one. */
import { createHash } from 'node:crypto';
import { BantamError } from '../base/errors.js';
import type { RunOptions } from './config/config.js';
import { unspent, type Spent } from './config/budget.js';
import type { TrainingContext } from './loop/context.js';
import { alone } from './loop/follow.js';
import { openTraining, reopenTraining, type TrainControl } from './loop/open-training.js';
import { runTraining } from './loop/run-training.js';
import type { TrainResult } from './monitor/events.js';
import { planTraining, requireMemory, requireTime, type TrainingPlan } from './planning/index.js';
import { readCheckpointState } from './run-dir/checkpoint.js';
import {
  dataChange,
  dataFingerprint,
  keepDataFingerprint,
  otherBeginning,
} from './run-dir/data-fingerprint.js';
import { keepHeldOut } from './run-dir/held-out.js';
import { createRun, runPaths, writeRunConfig } from './run-dir/paths.js';
import { requireShareable } from './world/requirements.js';

/** Options of {@link train}. */
export type TrainOptions = RunOptions &
  TrainControl & {
    /** The run directory; must not hold a run. */
    readonly out: string;
  };

/** Options of {@link planRun}: those of {@link train}, of which it needs no run directory. */
export type PlanOptions = RunOptions &
  TrainControl & {
    readonly out?: string;
    /** Seconds for which steps of one size are timed. Default 2. */
    readonly timing?: number | undefined;
  };

/**
 * Trains a model and saves it as a model directory in `out`, with metrics, checkpoints and the whole
 * configuration beside it.
 *
 * @throws UsageError for a wrong option; BantamError if data, folder or numbers fail, or it would
 * not fit the memory or the time limit.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { run, control } = split(options);
  const { out } = options;
  return await together(control, async (control) => {
    using context = await openTraining(run, control);
    await requireSame(context);
    await alone(context.world, async () => {
      await requireMemory(context);
      await requireTime(context);
      createRun(out);
      await context.tokenizer.save(runPaths(out).tokenizer);
      if (context.heldOut !== null) keepHeldOut(out, context.heldOut);
      writeRunConfig(out, context.config);
      await keepDataFingerprint(out, context.source);
    });
    return await runTraining(context, out);
  });
}

/**
 * Runs a training as one of the processes of `control.world`, if there are several: only rank 0 reports, and the
 * others receive the reason if this process fails.
 */
async function together(
  control: TrainControl,
  body: (control: TrainControl) => Promise<TrainResult>,
): Promise<TrainResult> {
  const { world = null, onEvent, ...rest } = control;
  if (world === null) return await body(control);
  world.begin(control.signal);
  try {
    return await body({ ...rest, world, ...(onEvent && world.isFirst && { onEvent }) });
  } catch (error) {
    await world.fail(error);
    throw error;
  }
}

/** @throws BantamError if several processes cannot share this training, or do not have the same. */
async function requireSame(context: TrainingContext): Promise<void> {
  const { world, config, source, checkpoint } = context;
  if (world === null) return;
  requireShareable(context, world);
  const digest = createHash('sha256').update(JSON.stringify(config)).digest('hex');
  const { records, digest: ofData } = await dataFingerprint(source);
  await world.requireEqual({
    data: `${source.spec}: ${records} records, ${ofData.slice(0, 12)}`,
    configuration: digest.slice(0, 12),
    checkpoint: checkpoint ?? 'none',
  });
}

/**
 * The memory and time that {@link train} would take; nothing is written.
 *
 * @throws UsageError or BantamError as {@link train} does.
 */
export async function planRun(options: PlanOptions): Promise<TrainingPlan> {
  const { timing, ...others } = options;
  const { run, control } = split(others);
  using context = await openTraining(run, control);
  return await planTraining(context, { enough: timing });
}

/** Continues the run in a run directory from its last checkpoint, or from its start. */
export async function resumeTraining(
  run: string,
  control: TrainControl = {},
): Promise<TrainResult> {
  return await together(control, async (control) => {
    using context = await reopenRun(run, control);
    await requireSame(context);
    await alone(context.world, async () => {
      const resumed = { spent: spentBy(context), settingsIn: runPaths(run).config };
      await requireMemory(context, resumed);
      await requireTime(context, resumed);
      const message = await dataChange(run, context.source);
      if (message !== undefined) context.emit({ kind: 'note', message });
    });
    return await runTraining(context, run);
  });
}

/** The memory that {@link resumeTraining} would take, and the time of what remains. */
export async function planResumed(run: string, control: TrainControl = {}): Promise<TrainingPlan> {
  using context = await reopenRun(run, control);
  return await planTraining(context, { spent: spentBy(context) });
}

/** Opens a run's training; a failure names the folder that its relative paths belong to. */
async function reopenRun(run: string, control: TrainControl): Promise<TrainingContext> {
  try {
    return await reopenTraining(run, control);
  } catch (error) {
    const began = error instanceof BantamError ? otherBeginning(run) : undefined;
    if (!(error instanceof BantamError) || began === undefined) throw error;
    throw new BantamError(
      `${error.message} The run began in ${began}, where its relative paths lead: resume it from there.`,
      { cause: error },
    );
  }
}

function spentBy({ checkpoint }: TrainingContext): Spent {
  return checkpoint === null ? unspent : readCheckpointState(checkpoint).spent;
}

/** The run directory, the run's own options, and those that control it. */
function split({
  out,
  device,
  signal,
  onEvent,
  world,
  openValidator,
  ...run
}: Omit<PlanOptions, 'timing'>) {
  const control: TrainControl = {
    ...(world && { world }),
    ...(device !== undefined && { device }),
    ...(signal && { signal }),
    ...(onEvent && { onEvent }),
    ...(openValidator && { openValidator }),
  };
  return { out, run, control };
}
