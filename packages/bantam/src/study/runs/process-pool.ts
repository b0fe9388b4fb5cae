import { fork, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { FromProcess, JobOutcome, JobProgress, StudyJob, ToProcess } from './messages.js';

/** Threads of each of several processes that share the cores, or the threads of OMP_NUM_THREADS. */
export function threadsOf(processes: number): number {
  const given = Number(process.env.OMP_NUM_THREADS ?? NaN);
  const all = Number.isSafeInteger(given) && given > 0 ? given : availableParallelism();
  return Math.max(1, Math.floor(all / processes));
}

/** Options of {@link forEachJob}. */
export interface ForEachJobOptions<Task> {
  readonly processes: number;
  readonly signal?: AbortSignal | undefined;
  readonly jobOf: (task: Task) => StudyJob;
  readonly onStart?: (task: Task) => void;
  readonly onProgress?: (task: Task, progress: JobProgress) => void;
  readonly onEnd: (task: Task, outcome: JobOutcome) => void;
}

/**
 * Does jobs in their order, several at a time, each in one of as many processes. A job that fails, or
 * whose process ends, does not keep the others from being done. After the signal no job starts, and
 * the present ones end with a checkpoint.
 */
export async function forEachJob<Task>(
  tasks: readonly Task[],
  { processes, signal, jobOf, onStart, onProgress, onEnd }: ForEachJobOptions<Task>,
): Promise<void> {
  const waiting = [...tasks];
  const work = async (): Promise<void> => {
    const own = new StudyProcess(threadsOf(processes));
    const stop = (): void => {
      own.stop();
    };
    signal?.addEventListener('abort', stop);
    try {
      for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
        if (signal?.aborted === true) return;
        const present = task;
        onStart?.(present);
        const outcome = await own.run(jobOf(present), (progress) =>
          onProgress?.(present, progress),
        );
        onEnd(present, outcome);
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      own.end();
    }
  };
  await Promise.all(Array.from({ length: Math.min(processes, tasks.length) }, work));
}

/** A process for jobs, started when it is needed; one that ended is replaced. */
class StudyProcess {
  #child: ChildProcess | undefined;
  /** The present job. */
  #job: StudyJob | undefined;
  #isStopped = false;

  constructor(readonly threads: number) {}

  run(job: StudyJob, onProgress: (progress: JobProgress) => void): Promise<JobOutcome> {
    const child = this.#child ?? this.#start();
    this.#job = job;
    this.#isStopped = false;
    return new Promise((resolve) => {
      const settle = (outcome: JobOutcome): void => {
        this.#job = undefined;
        child.off('message', receive).off('exit', ended).off('error', failed);
        resolve(outcome);
      };
      const receive = (message: unknown): void => {
        const received = message as FromProcess;
        if (received.kind === 'progress') onProgress(received);
        else settle(received);
      };
      const ended = (status: number | null, signal: string | null): void => {
        this.#child = undefined;
        if (this.#isStopped) {
          settle({ kind: 'stopped' });
          return;
        }
        const memory = signal === 'SIGKILL' ? ', as the system does when memory runs out' : '';
        const how = signal ?? `status ${status}`;
        settle({ kind: 'failed', message: `Its process ended with ${how}${memory}.` });
      };
      const failed = ({ message }: Error): void => {
        this.#child = undefined;
        settle({ kind: 'failed', message: `Its process did not start (${message}).` });
      };
      child.on('message', receive).on('exit', ended).on('error', failed);
      this.#send(child, { kind: 'job', job });
    });
  }

  /** Ends the present job: a training with a checkpoint, a plan, which writes nothing, at once. */
  stop(): void {
    if (this.#child === undefined) return;
    if (this.#job?.kind !== 'plan') {
      this.#send(this.#child, { kind: 'stop' });
      return;
    }
    this.#isStopped = true;
    this.#child.kill('SIGKILL');
  }

  /** Ends the process, which has no job. */
  end(): void {
    this.#child?.disconnect();
    this.#child = undefined;
  }

  #start(): ChildProcess {
    const child = fork(new URL('./study-process.js', import.meta.url), {
      // Options of this process, such as --test, make no sense there.
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, OMP_NUM_THREADS: String(this.threads) },
    });
    this.#child = child;
    return child;
  }

  #send(child: ChildProcess, message: ToProcess): void {
    // A process that has ended says so by its exit.
    child.send(message, () => undefined);
  }
}
