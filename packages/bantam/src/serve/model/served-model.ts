import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { RequestError } from '../http/request-error.js';
import { Batcher, type BatcherOptions, type ItemKind, type Settled } from './batcher.js';
import type { EncodeJob, Found, ModelDescription, SearchJob } from './messages.js';
import { ModelClient, ProcessEnded, type ModelClientOptions } from './model-client.js';
import { Slots } from './slots.js';

/** An item to embed: a text, or pixels [S, S, 3] in the model's size. */
export type Item = string | Uint8Array;

/** Embedding of an item. */
export interface Embedding {
  /** D values, of length 1. */
  readonly features: Float32Array;
  /** Tokens of a text, special ones included; 0 for an image. */
  readonly tokens: number;
  /** True for a text whose end did not fit the context. */
  readonly truncated: boolean;
}

export interface ServedModelOptions
  extends ModelClientOptions, Pick<BatcherOptions<Item, Embedding>, 'size' | 'waitMs' | 'onBatch'> {
  readonly name: string;
  readonly directory: string;
  /** Most items at once. */
  readonly queue: number;
  /** Reports that the model's process ended and is started anew. */
  readonly onRestart?: (reason: string) => void;
}

/** Longest pause before a process is started that ended again and again. */
const longestPauseMs = 10_000;

/**
 * A model that is served: its process, which is started anew when it ends, the batches of its items,
 * and the bound on items at once.
 */
export class ServedModel {
  readonly slots: Slots;
  readonly created = Math.floor(Date.now() / 1000);
  readonly #options: ServedModelOptions;
  readonly #batcher: Batcher<Item, Embedding>;
  #client: Promise<ModelClient>;
  #running: ModelClient | undefined;
  #description: ModelDescription;
  #users = 0;
  #retired = false;
  #stopped = false;
  #whenUnused: (() => void) | undefined;
  #lastAnswer = 0;

  private constructor(options: ServedModelOptions, client: ModelClient) {
    this.#options = options;
    this.#description = client.description;
    this.slots = new Slots(options.queue);
    this.#client = this.#supervised(client);
    const { size, waitMs, onBatch } = options;
    this.#batcher = new Batcher({
      size,
      waitMs,
      run: (kind, items) => this.#run(kind, items),
      ...(onBatch !== undefined && { onBatch }),
    });
  }

  /** @throws BantamError with the reason why the model cannot be loaded. */
  static async start(options: ServedModelOptions): Promise<ServedModel> {
    return new ServedModel(options, await ModelClient.start(options.directory, options));
  }

  get name(): string {
    return this.#options.name;
  }

  get description(): ModelDescription {
    return this.#description;
  }

  /** Items that wait for a batch. */
  get waiting(): number {
    return this.#batcher.waiting;
  }

  /** Time of the last batch that was computed, on the clock of `performance.now()`. */
  get lastAnswer(): number {
    return this.#lastAnswer;
  }

  /** Memory of the model's process in bytes, as of its last answer. */
  get residentBytes(): number {
    return this.#running?.residentBytes ?? 0;
  }

  /** Id of the model's process; undefined while it is started anew. */
  get pid(): number | undefined {
    return this.#running?.pid;
  }

  /** Keeps the model until the returned function is called: a request needs one model to its end. */
  use(): () => void {
    this.#users++;
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      this.#users--;
      if (this.#users === 0) this.#whenUnused?.();
    };
  }

  /** The embedding of an item, computed in a batch with others. */
  embed(
    kind: ItemKind,
    item: Item,
    options: { signal?: AbortSignal; urgent?: boolean } = {},
  ): Promise<Embedding> {
    return this.#batcher.submit(kind, item, options);
  }

  /**
   * The images that a search in one of the model's indexes finds.
   *
   * @throws BantamError for a search that is wrong; RequestError with status 429 if there is no room.
   */
  async search(job: SearchJob): Promise<Found> {
    const release = this.slots.take(1);
    try {
      return await this.#send((client) => client.search(job));
    } catch (error) {
      if (!(error instanceof ProcessEnded)) throw error;
      return await this.#send((client) => client.search(job));
    } finally {
      release(1);
    }
  }

  /** Ends the model's process once nobody uses it. */
  async retire(): Promise<void> {
    if (!this.#retired) {
      this.#retired = true;
      if (this.#users > 0) {
        await new Promise<void>((resolve) => {
          this.#whenUnused = resolve;
        });
      }
    }
    await this.stop();
  }

  /** Ends the model's process at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running?.stop();
  }

  /** A batch; if it fails, each of its items alone, so that one item fails no others. */
  async #run(kind: ItemKind, items: readonly Item[]): Promise<readonly Settled<Embedding>[]> {
    try {
      return await this.#encode(kind, items);
    } catch {
      const results: Settled<Embedding>[] = [];
      for (const item of items) {
        try {
          results.push(...(await this.#encode(kind, [item])));
        } catch (error) {
          results.push({ error: failure(error) });
        }
      }
      return results;
    }
  }

  async #encode(kind: ItemKind, items: readonly Item[]): Promise<Settled<Embedding>[]> {
    const { features, tokens, truncated } = await this.#send((client) =>
      client.encode(jobOf(kind, items)),
    );
    this.#lastAnswer = performance.now();
    const dimensions = features.length / items.length;
    return items.map((_, row) => ({
      value: {
        features: features.subarray(row * dimensions, (row + 1) * dimensions),
        tokens: kind === 'text' ? at(tokens, row) : 0,
        truncated: truncated[row] === true,
      },
    }));
  }

  async #send<Result>(job: (client: ModelClient) => Promise<Result>): Promise<Result> {
    const client = await this.#client;
    try {
      return await job(client);
    } catch (error) {
      // The next attempt is for the next process.
      if (error instanceof ProcessEnded) await client.ended;
      throw error;
    }
  }

  /** The client, which is replaced when its process ends. */
  #supervised(client: ModelClient): Promise<ModelClient> {
    this.#running = client;
    void client.ended.then((reason) => {
      this.#running = undefined;
      if (this.#stopped) return;
      this.#client = this.#restart(reason);
      // It fails when the model is stopped, of which nobody need know.
      this.#client.catch(() => undefined);
    });
    return Promise.resolve(client);
  }

  async #restart(reason: string): Promise<ModelClient> {
    const { directory, onRestart } = this.#options;
    onRestart?.(reason);
    for (let pause = 0; ; pause = Math.min(longestPauseMs, 2 * pause + 250)) {
      await sleep(pause);
      if (this.#stopped) throw new ProcessEnded('it was stopped');
      try {
        const client = await ModelClient.start(directory, this.#options);
        this.#description = client.description;
        return await this.#supervised(client);
      } catch (error) {
        onRestart?.(causeOf(error));
      }
    }
  }
}

function jobOf(kind: ItemKind, items: readonly Item[]): EncodeJob {
  const texts = items.filter((item) => typeof item === 'string');
  if (kind === 'text') return { kind, texts };
  const images = items.filter((item) => typeof item !== 'string');
  const pixels = new Uint8Array(images.reduce((bytes, { length }) => bytes + length, 0));
  let start = 0;
  for (const image of images) {
    pixels.set(image, start);
    start += image.length;
  }
  return { kind, pixels, count: images.length };
}

function failure(error: unknown): Error {
  if (error instanceof ProcessEnded) {
    return new RequestError(
      500,
      'The model could not embed this item: its process ended; it is started anew.',
      { code: 'model_failed' },
    );
  }
  if (error instanceof BantamError) return error;
  const message = causeOf(error);
  return new RequestError(500, `The model could not embed this item: ${message}`, {
    code: 'model_failed',
  });
}
