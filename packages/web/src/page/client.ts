import type { DownloadProgress } from '../fetch-files.js';
import type { Answer, Argument, CallName, Reply, Request } from './protocol.js';

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

/** The page's side of the worker that holds the model. */
export class Client {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;

  constructor(worker: Worker, onDownload: (progress: DownloadProgress) => void) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
      if ('download' in data) onDownload(data.download);
      else this.#settle(data);
    });
    worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message));
      this.#waiting.clear();
    });
  }

  call<N extends CallName>(name: N, argument: Argument<N>): Promise<Answer<N>> {
    const id = this.#calls++;
    const request: Request<N> = { id, name, argument };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  #settle(reply: Exclude<Reply, { download: DownloadProgress }>): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply.answer as never);
  }
}
