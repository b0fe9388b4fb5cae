import { RequestError } from '../http/request-error.js';
import type { Models } from '../model/models.js';
import type { ServedModel } from '../model/served-model.js';

/** Time for the embeddings of a check. */
const checkSeconds = 5;

/** A check answers requests for this long: it needs no key, and must not be used to keep the models busy. */
const validMs = 1000;

/** Answer of `GET /healthz`. */
export interface HealthAnswer {
  readonly status: 'ok' | 'failing';
  /** Milliseconds that a text and an image took, by model; or why they were not embedded. */
  readonly models: Readonly<Record<string, { readonly ms: number } | { readonly error: string }>>;
}

/** Checks the models by embedding a text and an image with each, ahead of all that waits. */
export class Health {
  readonly #models: Models;
  #last: Promise<HealthAnswer> | undefined;
  #at = 0;

  constructor(models: Models) {
    this.#models = models;
  }

  /** The last answer, or a new one if that is old. */
  check(): Promise<HealthAnswer> {
    if (this.#last === undefined || performance.now() - this.#at > validMs) {
      this.#at = Infinity;
      this.#last = this.#checkAll().finally(() => {
        this.#at = performance.now();
      });
    }
    return this.#last;
  }

  async #checkAll(): Promise<HealthAnswer> {
    const checks = [...this.#models].map(
      async (model) => [model.name, await check(model)] as const,
    );
    const models = Object.fromEntries(await Promise.all(checks));
    const failing = Object.values(models).some((result) => 'error' in result);
    return { status: failing ? 'failing' : 'ok', models };
  }
}

async function check(model: ServedModel): Promise<{ ms: number } | { error: string }> {
  const start = performance.now();
  const done = model.use();
  const { size } = model.description.preprocess;
  const signal = AbortSignal.timeout(checkSeconds * 1000);
  try {
    await Promise.all([
      model.embed('text', 'health', { signal, urgent: true }),
      model.embed('image', new Uint8Array(size * size * 3).fill(128), { signal, urgent: true }),
    ]);
    return { ms: Math.round(performance.now() - start) };
  } catch (error) {
    if (error instanceof RequestError) return { error: error.message };
    return {
      error: signal.aborted
        ? `No embedding within ${checkSeconds} s.`
        : error instanceof Error
          ? error.message
          : String(error),
    };
  } finally {
    done();
  }
}
