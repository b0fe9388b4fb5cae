import type { ServerResponse } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import type { Limits } from '../settings.js';
import { RequestError } from './request-error.js';

/** Requests that have begun and are not answered yet, and the memory of their bodies. */
export class Pending {
  readonly #limits: Limits;
  #requests = 0;
  #bytes = 0;
  #whenNone: (() => void) | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get requests(): number {
    return this.#requests;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Counts a request until its connection has its answer or is closed.
   *
   * @throws RequestError with status 429 if the bodies of all requests would take too much memory.
   */
  add({ incoming, outgoing }: HttpBindings): void {
    const { bodyBytes, pendingBytes } = this.#limits;
    const declared = Number(incoming.headers['content-length'] ?? Number.NaN);
    const chunked = incoming.headers['transfer-encoding'] !== undefined;
    const bytes = Number.isFinite(declared)
      ? Math.min(declared, bodyBytes)
      : chunked
        ? bodyBytes
        : 0;
    this.#requests++;
    const over = this.#bytes + bytes > pendingBytes;
    const held = over ? 0 : bytes;
    this.#bytes += held;
    outgoing.once('close', () => {
      this.#requests--;
      this.#bytes -= held;
      if (this.#requests === 0) this.#whenNone?.();
    });
    if (over) {
      throw new RequestError(
        429,
        `The bodies of all requests together would have more than ${pendingBytes} bytes; try again later.`,
        { code: 'too_many_bytes', retryAfter: 1 },
      );
    }
  }

  /** Resolves once no request is left, or after some time. */
  async none(seconds: number): Promise<void> {
    if (this.#requests === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#whenNone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#whenNone = undefined;
  }
}

/**
 * A signal that aborts when a request has no answer in time, or when its client has gone; work for it
 * is then taken out of the queues.
 */
export function requestSignal(outgoing: ServerResponse, seconds: number): AbortSignal {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(
      new RequestError(504, `The request took longer than ${seconds} s.`, { code: 'timeout' }),
    );
  }, seconds * 1000);
  outgoing.once('close', () => {
    clearTimeout(timer);
    if (!outgoing.writableFinished) {
      controller.abort(new RequestError(499, 'The client has closed the connection.'));
    }
  });
  return controller.signal;
}
