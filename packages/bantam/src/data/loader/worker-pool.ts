import { at } from '../../base/at.js';
import { Worker } from 'node:worker_threads';
import { BantamError } from '../../base/errors.js';
import type { WorkerRequest } from './loader-worker.js';
import type { DecodedImages, DecodeJob, DecoderSettings } from './image-decoder.js';

/** A worker's answer. */
interface WorkerReply {
  readonly id: number;
  readonly decoded?: DecodedImages;
  readonly error?: string;
}

interface Pending {
  readonly resolve: (decoded: DecodedImages) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Worker threads that produce images. They keep the process alive only between `hold` and
 * `release`; pixels come back by transfer, without a copy, and so does a job's memory go there.
 */
export class WorkerPool {
  readonly #workers: Worker[];
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #closing = false;
  #failure: BantamError | undefined;

  constructor(count: number, settings: DecoderSettings) {
    this.#workers = Array.from({ length: count }, () => this.#start(settings));
  }

  decode(job: DecodeJob): Promise<DecodedImages> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      const request: WorkerRequest = { id, job };
      const { memory = [] } = job;
      at(this.#workers, id % this.#workers.length).postMessage(request, [...memory]);
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

  #start(settings: DecoderSettings): Worker {
    const worker = new Worker(new URL('./loader-worker.js', import.meta.url), {
      workerData: settings,
      // Options of the process, such as --input-type, need not make sense for a file.
      execArgv: [],
    });
    worker.on('message', ({ id, decoded, error }: WorkerReply) => {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if (decoded !== undefined) pending?.resolve(decoded);
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

  /** The first failure is reported to every caller. */
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
