import { fork, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { BantamError } from '../../base/errors.js';
import type { InferencePrecision } from '../../eval/load-for-inference.js';
import type {
  Encoded,
  EncodeJob,
  Found,
  Job,
  JobMessage,
  ModelDescription,
  ProcessMessage,
  SearchJob,
  StartMessage,
} from './messages.js';

export interface ModelClientOptions {
  readonly precision: InferencePrecision;
  readonly device: string;
  /** Paths of indexes by name; those of other models are left out. */
  readonly indexes: Readonly<Record<string, string>>;
  /** Threads of the model; 0: OMP_NUM_THREADS, else one for each core but one. */
  readonly threads: number;
  /** Time of a job; then the process is ended. */
  readonly jobSeconds: number;
}

/** A process of a model that ended, or was ended, before it had answered. */
export class ProcessEnded extends Error {
  override readonly name = 'ProcessEnded';
}

interface Pending {
  readonly resolve: (result: Encoded | Found) => void;
  readonly reject: (error: Error) => void;
}

/** A model in a process of its own; see model-process.ts. */
export class ModelClient {
  readonly description: ModelDescription;
  readonly #child: ChildProcess;
  readonly #jobSeconds: number;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #residentBytes = 0;
  #reason: string | undefined;
  /** Resolves with the reason once the process has ended. */
  readonly ended: Promise<string>;

  private constructor(child: ChildProcess, description: ModelDescription, jobSeconds: number) {
    this.#child = child;
    this.description = description;
    this.#jobSeconds = jobSeconds;
    child.on('message', (message) => {
      this.#receive(message as ProcessMessage);
    });
    // Of what goes wrong with a process, its end tells.
    child.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      child.once('exit', (status, signal) => {
        const reason = this.#reason ?? `it ended with ${signal ?? `status ${status}`}`;
        this.#fail(reason);
        resolve(reason);
      });
    });
  }

  /**
   * Starts a process and loads a model directory in it.
   *
   * @throws BantamError with the reason why the model cannot be loaded.
   */
  static async start(
    directory: string,
    { precision, device, indexes, threads, jobSeconds }: ModelClientOptions,
  ): Promise<ModelClient> {
    const child = fork(new URL('./model-process.js', import.meta.url), {
      serialization: 'advanced',
      // Options of this process, such as --test, make no sense there.
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: environment(threads),
    });
    child.send({ directory, precision, device, indexes } satisfies StartMessage);
    const description = await new Promise<ModelDescription>((resolve, reject) => {
      const ended = (status: number | null, signal: string | null): void => {
        const how = signal ?? `status ${status}`;
        reject(new BantamError(`The process of the model ${directory} ended with ${how}.`));
      };
      child.once('error', reject).once('exit', ended);
      child.once('message', (message) => {
        child.off('error', reject).off('exit', ended);
        const answer = message as ProcessMessage;
        if ('ready' in answer) resolve(answer.ready);
        else reject(new BantamError('refused' in answer ? answer.refused : 'No answer.'));
      });
    }).catch((error: unknown) => {
      child.kill('SIGKILL');
      throw error;
    });
    return new ModelClient(child, description, jobSeconds);
  }

  /** Memory of the process in bytes, as of its last answer. */
  get residentBytes(): number {
    return this.#residentBytes;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Embeddings of a job.
   *
   * @throws ProcessEnded if the process ended before it answered; it is ended if it takes too long.
   */
  async encode(job: EncodeJob): Promise<Encoded> {
    const result = await this.#run(job);
    if ('features' in result) return result;
    throw new TypeError('An answer to a search came for embeddings.');
  }

  /**
   * The images that a search finds.
   *
   * @throws BantamError for a search that is wrong; ProcessEnded as {@link encode}.
   */
  async search(job: SearchJob): Promise<Found> {
    const result = await this.#run(job);
    if ('hits' in result) return result;
    throw new TypeError('Embeddings came for a search.');
  }

  /** Ends the process; jobs that it has not answered fail. */
  async stop(): Promise<void> {
    this.#reason ??= 'it was stopped';
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #run(job: Job): Promise<Encoded | Found> {
    if (!this.#child.connected) return Promise.reject(new ProcessEnded(this.#reason ?? 'it ended'));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#reason = `it took longer than ${this.#jobSeconds} s for a batch`;
        this.#child.kill('SIGKILL');
      }, this.#jobSeconds * 1000);
      const settle =
        <Value>(done: (value: Value) => void) =>
        (value: Value): void => {
          clearTimeout(timer);
          done(value);
        };
      this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject) });
      const message: JobMessage = { id, job };
      this.#child.send(message, (error) => {
        if (error !== null) this.#child.kill('SIGKILL');
      });
    });
  }

  #receive(message: ProcessMessage): void {
    if (!('id' in message)) return;
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if ('error' in message) {
      const { error, isRefusal } = message;
      pending?.reject(isRefusal ? new BantamError(error) : new Error(error));
      return;
    }
    this.#residentBytes = message.residentBytes;
    pending?.resolve(message.result);
  }

  #fail(reason: string): void {
    this.#reason = reason;
    for (const { reject } of this.#pending.values()) reject(new ProcessEnded(reason));
    this.#pending.clear();
  }
}

/**
 * The environment of a model's process. Threads of libtorch wait for each other many times in a batch: with
 * as many as there are cores, each wait lasts until the server has had its turn.
 */
function environment(threads: number): NodeJS.ProcessEnv {
  const { OMP_NUM_THREADS: given } = process.env;
  if (threads === 0 && given !== undefined) return process.env;
  const count = threads > 0 ? threads : Math.max(1, availableParallelism() - 1);
  return { ...process.env, OMP_NUM_THREADS: String(count) };
}
