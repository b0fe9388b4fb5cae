import { mean } from '../../base/statistics.js';
import type { JobStage } from './messages.js';
import type { StudyRun } from './study-run.js';

/** Progress of a whole study. */
export interface StudyProgressState {
  /** Runs that are finished or have failed. */
  readonly done: number;
  readonly total: number;
  /** Fraction of the work that is done, by the time that it takes. */
  readonly progress: number;
  /** Null before anything is known. */
  readonly etaSeconds: number | null;
  readonly running: readonly {
    readonly arm: string;
    readonly seed: number;
    readonly stage: JobStage;
    readonly progress: number;
  }[];
}

/** A run with its arm's name, as progress shows it. */
export interface TrackedRun {
  readonly run: StudyRun;
  /** Name of an arm that needs it. */
  readonly arm: string;
}

interface Running {
  readonly tracked: TrackedRun;
  stage: JobStage;
  progress: number;
  /** Progress at the start of this session, for the rate. */
  first: number | undefined;
  readonly since: number;
}

/**
 * Estimates the rest of a study: a run takes as long as others of its arm did, or as the mean run,
 * in proportion to what is left of it.
 */
export class StudyProgress {
  readonly #total: number;
  readonly #processes: number;
  readonly #now: () => number;
  readonly #running = new Map<TrackedRun, Running>();
  readonly #waiting: Set<TrackedRun>;
  /** Seconds of finished runs, by arm. */
  readonly #seconds = new Map<string, number[]>();
  #done = 0;

  constructor(
    runs: readonly TrackedRun[],
    {
      finished,
      processes,
      now = () => performance.now() / 1000,
    }: { finished: number; processes: number; now?: () => number },
  ) {
    this.#total = finished + runs.length;
    this.#done = finished;
    this.#processes = processes;
    this.#waiting = new Set(runs);
    this.#now = now;
  }

  start(tracked: TrackedRun): void {
    this.#waiting.delete(tracked);
    const since = this.#now();
    this.#running.set(tracked, { tracked, stage: 'waiting', progress: 0, first: undefined, since });
  }

  update(tracked: TrackedRun, stage: JobStage, progress: number): void {
    const running = this.#running.get(tracked);
    if (running === undefined) return;
    running.stage = stage;
    running.progress = progress;
    running.first ??= progress;
  }

  /** Ends a run; only a whole one tells how long others take. */
  end(tracked: TrackedRun, { whole }: { readonly whole: boolean }): void {
    const running = this.#running.get(tracked);
    this.#running.delete(tracked);
    this.#done += 1;
    if (running === undefined || !whole) return;
    const part = 1 - (running.first ?? 0);
    if (part < 0.05) return;
    const seconds = (this.#now() - running.since) / part;
    this.#seconds.set(tracked.arm, [...(this.#seconds.get(tracked.arm) ?? []), seconds]);
  }

  state(): StudyProgressState {
    const running = [...this.#running.values()];
    const usual = this.#meanSeconds();
    const left =
      usual === null
        ? null
        : running.reduce((sum, one) => sum + this.#left(one, usual), 0) +
          [...this.#waiting].reduce((sum, { arm }) => sum + this.#of(arm, usual), 0);
    const partly = running.reduce((sum, { progress }) => sum + progress, 0);
    const spent = usual === null ? 0 : (this.#done + partly) * usual;
    return {
      done: this.#done,
      total: this.#total,
      progress: left === null ? this.#done / this.#total : spent / Math.max(1e-9, spent + left),
      etaSeconds: left === null ? null : left / this.#lanes(),
      running: running.map(({ tracked, stage, progress }) => ({
        arm: tracked.arm,
        seed: tracked.run.seed,
        stage,
        progress,
      })),
    };
  }

  #lanes(): number {
    return Math.max(1, Math.min(this.#processes, this.#running.size + this.#waiting.size));
  }

  #left({ tracked, progress, first = 0, since }: Running, usual: number): number {
    const moved = progress - first;
    const own = moved > 0.05 ? (this.#now() - since) / moved : this.#of(tracked.arm, usual);
    return own * (1 - progress);
  }

  #of(arm: string, fallback: number): number {
    const known = this.#seconds.get(arm);
    return known === undefined ? fallback : mean(known);
  }

  /** Seconds of a mean run, by the finished ones, or else by those that have begun. */
  #meanSeconds(): number | null {
    const finished = [...this.#seconds.values()].flat();
    const begun = [...this.#running.values()].flatMap(({ progress, first = 0, since }) =>
      progress - first > 0.05 ? [(this.#now() - since) / (progress - first)] : [],
    );
    const known = finished.length > 0 ? finished : begun;
    return known.length === 0 ? null : mean(known);
  }
}
