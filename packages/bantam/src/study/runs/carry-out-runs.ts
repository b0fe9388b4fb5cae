import { BantamError } from '../../base/errors.js';
import type { StudyOptions } from '../config/schema.js';
import { isFinished } from './carry-out.js';
import type { Measurement } from './measurement.js';
import { forEachJob } from './process-pool.js';
import { StudyProgress, type StudyProgressState, type TrackedRun } from './study-progress.js';

/** An event of running studies. */
export type StudyEvent =
  | ({ readonly kind: 'progress' } & StudyProgressState)
  | { readonly kind: 'finished'; readonly arm: string; readonly seed: number; readonly run: string }
  | {
      readonly kind: 'failed';
      readonly arm: string;
      readonly seed: number;
      readonly message: string;
    };

/** Options of {@link carryOutRuns}. */
export interface CarryOutRunsOptions {
  readonly measurements: readonly Measurement[];
  readonly keep: NonNullable<StudyOptions['keep']>;
  /** Runs at a time. */
  readonly processes: number;
  /** Names of the work and of its runs for the message of an interruption. */
  readonly names?: { readonly work: string; readonly runs: string };
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: StudyEvent) => void) | undefined;
}

/**
 * Carries out those of some runs that are not finished, each once, in their order. Returns the messages
 * of those that failed, by their ids.
 *
 * @throws BantamError if the signal came before all were done.
 */
export async function carryOutRuns(
  runs: readonly TrackedRun[],
  options: CarryOutRunsOptions,
): Promise<Map<string, string>> {
  const { measurements, keep, processes, signal, onEvent } = options;
  const { names = { work: 'The study', runs: 'runs' } } = options;
  const unique = [...new Map(runs.map((one) => [one.run.id, one])).values()];
  const open = unique.filter(({ run }) => !isFinished(run.folder, measurements));
  const finished = unique.length - open.length;
  const progress = new StudyProgress(open, { finished, processes });
  const failed = new Map<string, string>();
  const show = (): void => {
    onEvent?.({ kind: 'progress', ...progress.state() });
  };
  let left = open.length;
  await forEachJob(open, {
    processes,
    signal,
    jobOf: ({ run: { folder, options } }) => {
      return { kind: 'train', folder, options, measurements, keep };
    },
    onStart: (tracked) => {
      progress.start(tracked);
      show();
    },
    onProgress: (tracked, { stage, progress: done }) => {
      progress.update(tracked, stage, done);
      show();
    },
    onEnd: (tracked, outcome) => {
      const { arm, run } = tracked;
      const { seed, folder } = run;
      if (outcome.kind === 'stopped') return;
      left -= 1;
      progress.end(tracked, { whole: outcome.kind === 'done' });
      if (outcome.kind === 'failed') {
        const { message } = outcome;
        failed.set(run.id, message);
        onEvent?.({ kind: 'failed', arm, seed, message });
      } else onEvent?.({ kind: 'finished', arm, seed, run: folder });
    },
  });
  if (left > 0 && signal?.aborted === true) {
    throw new BantamError(
      `${names.work} was interrupted with ${unique.length - left} of ${unique.length} ${names.runs} done; the same command resumes it.`,
    );
  }
  return failed;
}
