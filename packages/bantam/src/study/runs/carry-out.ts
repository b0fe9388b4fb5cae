/** A run of a study from its present state to its results: trained, measured, cleared. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { BantamError } from '../../base/errors.js';
import { FolderLock } from '../../base/folder-lock.js';
import { makeFolder } from '../../base/make-folder.js';
import { evaluate } from '../../eval/index.js';
import { loadModel } from '../../models/index.js';
import { resumeTraining, runPaths, train, type TrainEvent } from '../../train/index.js';
import { readResults, writeResults, type Measurement } from './measurement.js';
import type { JobOutcome, JobStage, StudyJob } from './messages.js';
import { readRecord, writeRecord } from './run-record.js';

/** A job of a training. */
export type TrainJob = StudyJob & { readonly kind: 'train' };

/** Control of {@link carryOut}. */
export interface CarryOutOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (stage: JobStage, progress: number) => void;
}

/** Seconds to wait for a process of a study that was killed, which ends after its present step. */
const patience = 120;

/**
 * Trains a run from its start or its last checkpoint, measures its model by what is not yet measured,
 * and removes the files that are not kept. What is done already is taken.
 *
 * @throws Error of training or evaluation.
 */
export async function carryOut(job: TrainJob, options: CarryOutOptions): Promise<JobOutcome> {
  const { folder, measurements, keep } = job;
  if (isFinished(folder, measurements)) return { kind: 'done' };
  makeFolder(folder);
  const lock = await lockOf(folder, options);
  if (lock === undefined) return { kind: 'stopped' };
  try {
    const { model } = runPaths(folder);
    const isTrained = readRecord(folder) !== undefined && existsSync(model);
    if (!isTrained && !(await trainToTheEnd(job, options))) return { kind: 'stopped' };
    options.onProgress('measuring', 1);
    await measure(job, options);
    if (options.signal.aborted && !isFinished(folder, measurements)) return { kind: 'stopped' };
    if (keep !== 'checkpoints') {
      rmSync(join(folder, 'checkpoints'), { recursive: true, force: true });
      rmSync(runPaths(folder).best, { recursive: true, force: true });
    }
    if (keep === 'results') rmSync(model, { recursive: true, force: true });
    return { kind: 'done' };
  } finally {
    lock.release();
  }
}

/** True if a run is trained and measured. */
export function isFinished(folder: string, measurements: readonly Measurement[]): boolean {
  return (
    readRecord(folder) !== undefined &&
    measurements.every((one) => readResults(folder, one) !== undefined)
  );
}

/** The lock of a run, once no other process has it; undefined if the signal comes before. */
async function lockOf(
  folder: string,
  { signal, onProgress }: CarryOutOptions,
): Promise<FolderLock | undefined> {
  const end = Date.now() + 1000 * patience;
  for (;;) {
    try {
      return new FolderLock(folder);
    } catch (error) {
      if (!(error instanceof BantamError) || Date.now() > end) throw error;
      if (signal.aborted) return undefined;
      onProgress('waiting', 0);
      await setTimeout(100);
    }
  }
}

/** Trains a run, from its last checkpoint if there is one; false if the signal ended it before. */
async function trainToTheEnd(
  { folder, options }: TrainJob,
  { signal, onProgress }: CarryOutOptions,
): Promise<boolean> {
  const notes: string[] = [];
  const onEvent = (event: TrainEvent): void => {
    if (event.kind === 'step') onProgress('training', event.progress);
    if (event.kind === 'note') notes.push(event.message);
  };
  const isCleared = readRecord(folder) !== undefined && !existsSync(join(folder, 'checkpoints'));
  // Its model was not kept, and is needed again for something new to measure.
  if (isCleared) rmSync(runPaths(folder).config, { force: true });
  const { model, interrupted, ...result } = existsSync(runPaths(folder).config)
    ? await resumeTraining(folder, { signal, onEvent })
    : await train({ ...options, out: folder, signal, onEvent });
  if (interrupted || model === undefined) return false;
  const { steps, samples, flops, seconds, stoppedEarly, quarantined, skipped } = result;
  const threads = Number(process.env.OMP_NUM_THREADS);
  const costs = { steps, samples, flops, seconds, threads };
  writeRecord(folder, { ...costs, stoppedEarly, quarantined, skipped, notes });
  return true;
}

async function measure(
  { folder, measurements }: TrainJob,
  { signal }: CarryOutOptions,
): Promise<void> {
  const missing = measurements.filter((one) => readResults(folder, one) === undefined);
  if (missing.length === 0) return;
  const loaded = await loadModel(runPaths(folder).model);
  using model = loaded.model.eval();
  for (const one of missing) {
    if (signal.aborted) return;
    const { dataset, tasks, probe, prompts = {} } = one;
    const options = { tasks, probe, signal, ...prompts };
    try {
      writeResults(folder, one, await evaluate({ ...loaded, model }, [dataset], options));
    } catch (error) {
      if (error !== signal.reason) throw error;
    }
  }
}
