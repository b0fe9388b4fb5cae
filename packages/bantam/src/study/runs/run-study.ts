/** A study from its options to its results, through crashes. */
import { writeFileAtomic } from '@bantam/torch';
import { FolderLock } from '../../base/folder-lock.js';
import { makeFolder } from '../../base/make-folder.js';
import { readRunConfig } from '../../train/index.js';
import type { Arm } from '../config/axes.js';
import type { StudyOptions } from '../config/schema.js';
import { fitStudy } from '../fits/fit-study.js';
import {
  resultsFormat,
  summarize,
  type StudyFailure,
  type StudyResult,
  type StudyRow,
  type TunedRate,
} from '../results.js';
import { isFinished } from './carry-out.js';
import { carryOutRuns, type StudyEvent } from './carry-out-runs.js';
import { readResults, valueOf, type Measurement } from './measurement.js';
import { prepareStudy, type PreparedStudy } from './prepare.js';
import { threadsOf } from './process-pool.js';
import { readRecord } from './run-record.js';
import { studyPaths } from './study-paths.js';
import { studyRun, type StudyRun } from './study-run.js';
import { chooseRate, type RateTrial } from './tune.js';

/** Control of {@link runStudy}. */
export interface StudyControl {
  /** Folder of the study: its runs, subsets and results. */
  readonly out: string;
  /** Runs at a time, which share the cores. Default 1. */
  readonly processes?: number;
  /** Ends the study with checkpoints of its runs. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: StudyEvent) => void;
}

/**
 * Carries out a study: trains every arm with every seed, measures the models, and writes
 * `results.json`. Runs are named by the hash of their options and data: finished ones are taken, those
 * that were killed resume, and a run that fails does not keep the others from being done. Seed by seed
 * all arms take turns, so that a machine that slows down does so for all of them.
 *
 * @throws UsageError for a wrong setting; BantamError if the data cannot be read, another process
 * carries out the study, or the signal came.
 */
export async function runStudy(options: StudyOptions, control: StudyControl): Promise<StudyResult> {
  const { out } = control;
  makeFolder(out);
  const lock = new FolderLock(out);
  try {
    const prepared = await prepareStudy(options, studyPaths(out).subsets);
    const { study } = prepared;
    writeJson(studyPaths(out).study, { formatVersion: resultsFormat, study });
    const result = await new StudySession(prepared, control).toTheEnd();
    writeJson(studyPaths(out).results, result);
    return result;
  } finally {
    lock.release();
  }
}

function writeJson(path: string, value: unknown): void {
  writeFileAtomic(path, [Buffer.from(`${JSON.stringify(value, null, 1)}\n`)]);
}

/** A run that is needed, with the arm that it is shown as. */
interface Needed {
  readonly arm: Arm;
  readonly run: StudyRun;
}

type Keep = NonNullable<StudyOptions['keep']>;

class StudySession {
  readonly #prepared: PreparedStudy;
  readonly #control: StudyControl;
  readonly #processes: number;
  readonly #keep: Keep;

  constructor(prepared: PreparedStudy, control: StudyControl) {
    this.#prepared = prepared;
    this.#control = control;
    this.#processes = control.processes ?? 1;
    this.#keep = prepared.study.keep ?? 'model';
  }

  async toTheEnd(): Promise<StudyResult> {
    const { study, grids, columns, arms, seeds, measurements } = this.#prepared;
    const tuned = await this.#tune();
    const needed: Needed[] = [];
    const failures: StudyFailure[] = [];
    for (const seed of seeds) {
      for (const [i, arm] of arms.entries()) {
        const lr = tuned[i]?.chosen;
        if (lr === null) {
          const message = 'No learning rate of its search could be trained.';
          failures.push({ grid: arm.grid, arm: arm.name, seed, message });
        } else needed.push({ arm, run: await this.#run(arm, seed, lr) });
      }
    }
    const failed = await this.#carryOut(needed, measurements, this.#keep);
    const rows = new Map<Arm, StudyRow[]>(arms.map((arm) => [arm, []]));
    for (const { arm, run } of needed) {
      const row = this.#row(run);
      if (row !== undefined) rows.get(arm)?.push(row);
      else {
        const message = failed.get(run.id) ?? 'It was not carried out.';
        failures.push({ grid: arm.grid, arm: arm.name, seed: run.seed, message });
      }
    }
    const processes = this.#processes;
    const threads = threadsOf(processes);
    const parts = { study, grids, columns, rows, tuned, failures, processes, threads };
    const summary = summarize(parts);
    return { ...summary, fits: fitStudy(summary) };
  }

  #run(arm: Arm, seed: number, lr?: number): Promise<StudyRun> {
    const { data, study } = this.#prepared;
    const folder = studyPaths(this.#control.out).runs;
    return studyRun(arm, {
      seed,
      data,
      spec: study.data,
      folder,
      ...(lr !== undefined && { lr }),
    });
  }

  /** The learning rates of all arms, in their order; none if they are not tuned. */
  async #tune(): Promise<TunedRate[]> {
    const { arms, seeds, tuning: measurement } = this.#prepared;
    const { tune } = this.#prepared.study;
    const [seed] = seeds;
    if (tune === undefined || measurement === undefined || seed === undefined) return [];
    const trials: (RateTrial & Needed)[] = [];
    for (const lr of tune.lr) {
      for (const arm of arms) trials.push({ arm, lr, run: await this.#run(arm, seed, lr) });
    }
    // The models of the chosen rates are measured once more.
    await this.#carryOut(trials, [measurement], this.#keep === 'results' ? 'model' : this.#keep);
    return arms.map((arm) => chooseRate(arm, trials, { tune, measurement }));
  }

  async #carryOut(
    needed: readonly Needed[],
    measurements: readonly Measurement[],
    keep: Keep,
  ): Promise<ReadonlyMap<string, string>> {
    const { signal, onEvent } = this.#control;
    const tracked = needed.map(({ arm, run }) => ({ arm: `${arm.grid}: ${arm.name}`, run }));
    return carryOutRuns(tracked, {
      measurements,
      keep,
      processes: this.#processes,
      signal,
      onEvent,
    });
  }

  /** The row of a run; undefined if it is not finished. */
  #row({ folder, seed, data }: StudyRun): StudyRow | undefined {
    const { columns, measurements } = this.#prepared;
    const record = readRecord(folder);
    if (record === undefined || !isFinished(folder, measurements)) return undefined;
    const { samples, flops, seconds, quarantined, skipped, stoppedEarly } = record;
    const metrics = columns.flatMap((column) => {
      const measurement = measurements.find(({ dataset }) => dataset.name === column.dataset);
      const results = measurement && readResults(folder, measurement);
      return results === undefined
        ? []
        : [[column.id, valueOf(results, column, measurement)] as const];
    });
    return {
      seed,
      run: folder,
      records: data.records,
      epochs: samples / data.samplesPerEpoch,
      samples,
      flops,
      seconds,
      lr: readRunConfig(folder).train.lr,
      incidents: {
        broken: quarantined,
        skipped,
        stoppedEarly,
        unmeasured: unmeasuredIn(folder, measurements),
      },
      metrics: Object.fromEntries(metrics),
    };
  }
}

/** Data sets of which images could not be read when a run was measured. */
function unmeasuredIn(
  run: string,
  measurements: readonly Measurement[],
): StudyRow['incidents']['unmeasured'] {
  return measurements.flatMap((measurement) => {
    const results = readResults(run, measurement) ?? [];
    const images = Math.max(0, ...results.map(({ quarantined }) => quarantined));
    return images === 0 ? [] : [{ dataset: measurement.dataset.name, images }];
  });
}
