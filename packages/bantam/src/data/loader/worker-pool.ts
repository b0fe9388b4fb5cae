import { Worker } from 'node:worker_threads';
import { BantamError } from '../../base/errors.js';
import type { WorkerRequest } from './loader-worker.js';
import type { Produced, ProduceJob, ProducerSettings } from './image-decoder.js';

/** A worker's answer. */
interface WorkerReply {
  readonly id: number;
  readonly produced?: Produced;
  readonly error?: string;
}

interface Pending {
  readonly resolve: (produced: Produced) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Worker threads that produce pictures. They keep the process alive only between `hold` and
 * `release`; pixels come back by transfer, without a copy, and so does a job's memory go there.
 */
export class WorkerPool {
  readonly #workers: Worker[];
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #closing = false;
  #failure: BantamError | undefined;

  constructor(count: number, settings: ProducerSettings) {
    this.#workers = Array.from({ length: count }, () => this.#start(settings));
  }

  produce(job: ProduceJob): Promise<Produced> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      const request: WorkerRequest = { id, job };
      this.#workers[id % this.#workers.length]?.postMessage(request, [...(job.memory ?? [])]);
    });
  }

  hold(): void {
    for (const worker of this.#workers) worker.ref();
  }

  release(): void {
    // Ending the workers is waited for.
    if (this.#closing) return;
    for (const worker of this.#workers) worker.unref();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#fail(new BantamError('The data loader was closed while a batch was awaited.'));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(settings: ProducerSettings): Worker {
    const worker = new Worker(new URL('./loader-worker.js', import.meta.url), {
      workerData: settings,
      // Options of the process, such as --input-type, need not make sense for a file.
      execArgv: [],
    });
    worker.on('message', ({ id, produced, error }: WorkerReply) => {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (produced !== undefined) pending?.resolve(produced);
      else pending?.reject(workerError(error ?? 'no reason given'));
    });
    worker.on('error', (error) => {
      this.#fail(workerError(error.message));
    });
    worker.on('exit', (status) => {
      this.#fail(workerError(`it ended with status ${status}`));
    });
    worker.unref();
    return worker;
  }

  /** The first failure is the one that everyone hears of. */
  #fail(failure: BantamError): void {
    this.#failure ??= failure;
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }
}

function workerError(reason: string): BantamError {
  return new BantamError(
    `A data worker failed: ${reason}; try again with 0 workers to see where it comes from.`,
  );
}
