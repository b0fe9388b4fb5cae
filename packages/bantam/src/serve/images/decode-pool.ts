import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Geometry } from '../../data/images/eval-geometry.js';
import { BadRequest } from '../http/request-error.js';
import type { DecodeAnswer, DecodeTask } from './decode-worker.js';

export interface DecodePoolOptions {
  /** Threads; 0: half of the cores, at most four. */
  readonly threads: number;
  /** Most pixels of an image. */
  readonly mostPixels: number;
  /** Time to decode an image; then its thread is ended and replaced. */
  readonly seconds: number;
}

interface Waiting {
  readonly task: DecodeTask;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (pixels: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** A thread and the image that it decodes. */
interface Seat {
  /** Undefined until it is needed: a thread that cannot start is not started again and again. */
  worker: Worker | undefined;
  current: Waiting | undefined;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Threads that decode images, each one at a time. An image that is damaged, too large or too slow fails
 * alone: a thread that it ends is replaced.
 */
export class DecodePool {
  readonly #options: DecodePoolOptions;
  readonly #seats: Seat[];
  readonly #queue: Waiting[] = [];
  #closed = false;

  constructor(options: DecodePoolOptions) {
    this.#options = options;
    const threads = options.threads > 0 ? options.threads : defaultThreads();
    this.#seats = Array.from({ length: threads }, () => ({
      worker: undefined,
      current: undefined,
      timer: undefined,
    }));
  }

  /** Images that wait for a thread. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * The pixels of an image file in a model's size: [S, S, 3], RGB, uint8. The bytes' memory goes to the
   * thread.
   *
   * @throws BadRequest with the reason why it is not decoded.
   */
  decode(
    bytes: Uint8Array<ArrayBuffer>,
    geometry: Geometry,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const { size, interpolation, antialias, resizeMode } = geometry;
      const task: DecodeTask = {
        bytes,
        geometry: { size, interpolation, antialias, resizeMode },
        mostPixels: this.#options.mostPixels,
      };
      this.#queue.push({ task, signal, resolve, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#queue.splice(0)) reject(new Error('The server has stopped.'));
    await Promise.all(this.#seats.flatMap(({ worker }) => worker?.terminate() ?? []));
  }

  #next(): void {
    for (const seat of this.#seats) {
      while (seat.current === undefined) {
        const waiting = this.#queue.shift();
        if (waiting === undefined) return;
        const { signal } = waiting;
        if (signal?.aborted === true) {
          waiting.reject(signal.reason instanceof Error ? signal.reason : new Error('Aborted.'));
          continue;
        }
        this.#begin(seat, waiting);
      }
    }
  }

  #begin(seat: Seat, waiting: Waiting): void {
    const { seconds } = this.#options;
    seat.current = waiting;
    seat.timer = setTimeout(() => {
      this.#abandon(seat, `The image takes longer than ${seconds} s to decode.`);
    }, seconds * 1000);
    const { task } = waiting;
    seat.worker ??= this.#start(seat);
    seat.worker.postMessage(task, transferable(task.bytes));
  }

  #start(seat: Seat): Worker {
    const worker = new Worker(new URL('./decode-worker.js', import.meta.url), {
      // Options of the process, such as --input-type, need not make sense for a file.
      execArgv: [],
    });
    // The server keeps the process alive, not its threads.
    worker.unref();
    worker.on('message', (answer: DecodeAnswer) => {
      if (seat.worker !== worker) return;
      const { current } = seat;
      clearTimeout(seat.timer);
      seat.current = undefined;
      if ('pixels' in answer) current?.resolve(answer.pixels);
      else current?.reject(new BadRequest(answer.refused, { code: 'invalid_image' }));
      this.#next();
    });
    const lost = (): void => {
      if (seat.worker === worker && !this.#closed) {
        this.#abandon(seat, 'The image cannot be decoded (it ended its decoder).');
      }
    };
    worker.on('error', lost);
    worker.on('exit', lost);
    return worker;
  }

  /** Ends the thread of a seat and fails its image. */
  #abandon(seat: Seat, reason: string): void {
    const { current, worker } = seat;
    clearTimeout(seat.timer);
    seat.current = undefined;
    seat.worker = undefined;
    void worker?.terminate();
    current?.reject(new BadRequest(reason, { code: 'invalid_image' }));
    this.#next();
  }
}

function defaultThreads(): number {
  return Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)));
}

/** The memory of bytes, if it holds nothing else: small buffers share theirs. */
function transferable(bytes: Uint8Array): ArrayBuffer[] {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? [buffer] : [];
}
