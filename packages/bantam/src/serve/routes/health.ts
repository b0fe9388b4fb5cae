import { causeOf } from '../../base/system-error.js';
import type { Models } from '../model/models.js';
import type { ServedModel } from '../model/served-model.js';

/** A check answers requests for this long: it needs no key, and must not be used to keep the models busy. */
const validMs = 1000;

/** Answer of `GET /healthz`. */
export interface HealthAnswer {
  readonly status: 'ok' | 'failing';
  readonly models: Readonly<Record<string, ModelHealth>>;
}

/**
 * Milliseconds that a text and an image took; or that they wait, while the model computes other batches; or
 * why they were not embedded.
 */
type ModelHealth = { readonly ms: number } | { readonly busy: true } | { readonly error: string };

/** Checks the models by embedding a text and an image with each, ahead of all that waits. */
export class Health {
  readonly #models: Models;
  readonly #seconds: number;
  #last: Promise<HealthAnswer> | undefined;
  #at = 0;

  /** @param seconds - Time for the embeddings of a check. */
  constructor(models: Models, seconds: number) {
    this.#models = models;
    this.#seconds = seconds;
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
      async (model) => [model.name, await check(model, this.#seconds)] as const,
    );
    const models = Object.fromEntries(await Promise.all(checks));
    const failing = Object.values(models).some((result) => 'error' in result);
    return { status: failing ? 'failing' : 'ok', models };
  }
}

async function check(model: ServedModel, seconds: number): Promise<ModelHealth> {
  const start = performance.now();
  const done = model.use();
  const { size } = model.description.preprocess;
  const signal = AbortSignal.timeout(seconds * 1000);
  try {
    await Promise.all([
      model.embed('text', 'health', { signal, urgent: true }),
      model.embed('image', new Uint8Array(size * size * 3).fill(128), { signal, urgent: true }),
    ]);
    return { ms: Math.round(performance.now() - start) };
  } catch (error) {
    if (!signal.aborted) return { error: causeOf(error) };
    return model.lastAnswer > start
      ? { busy: true }
      : { error: `No embedding within ${seconds} s.` };
  } finally {
    done();
  }
}
