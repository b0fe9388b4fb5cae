/** Dynamic batching: items of many requests are computed together, none waits longer than a bound. */

/** Kinds of items; a batch has items of one kind. */
export type ItemKind = 'image' | 'text';

/** Result of an item of a batch: its own, or its own failure. */
export type Settled<Result> = { readonly value: Result } | { readonly error: Error };

export interface BatcherOptions<Item, Result> {
  /** Most items in a batch. */
  readonly size: number;
  /** Longest time in milliseconds for which an item waits for others while nothing is computed. */
  readonly waitMs: number;
  /** Computes a batch: a result for each item, in order. */
  readonly run: (kind: ItemKind, items: readonly Item[]) => Promise<readonly Settled<Result>[]>;
  /** Reports each batch as it starts: its items, and how long the oldest of them has waited. */
  readonly onBatch?: (batch: {
    readonly kind: ItemKind;
    readonly size: number;
    readonly waitedMs: number;
  }) => void;
}

export interface SubmitOptions {
  /** Takes the item out of the queue; one that is computed already is computed to its end. */
  readonly signal?: AbortSignal;
  /** Puts the item before all others. */
  readonly urgent?: boolean;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly since: number;
  readonly urgent: boolean;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Collects items and computes them in batches, one batch at a time. A batch starts as soon as the one
 * before it has ended and there are `size` items of a kind, or the oldest item has waited `waitMs`.
 * Of several kinds that are ready, the one with the oldest item comes first.
 */
export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>;
  readonly #queues: Record<ItemKind, Waiting<Item, Result>[]> = { image: [], text: [] };
  #busy = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options;
  }

  /** Items that wait for a batch. */
  get waiting(): number {
    return this.#queues.image.length + this.#queues.text.length;
  }

  /** The result of an item, once a batch with it has been computed. */
  submit(
    kind: ItemKind,
    item: Item,
    { signal, urgent = false }: SubmitOptions = {},
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(reasonOf(signal));
        return;
      }
      const abort = (): void => {
        const queue = this.#queues[kind];
        const position = queue.indexOf(waiting);
        if (position >= 0) queue.splice(position, 1);
        reject(reasonOf(signal));
      };
      const settle =
        <Value>(done: (value: Value) => void) =>
        (value: Value): void => {
          signal?.removeEventListener('abort', abort);
          done(value);
        };
      const waiting: Waiting<Item, Result> = {
        item,
        since: performance.now(),
        urgent,
        resolve: settle(resolve),
        reject: settle(reject),
      };
      signal?.addEventListener('abort', abort, { once: true });
      if (urgent) this.#queues[kind].unshift(waiting);
      else this.#queues[kind].push(waiting);
      this.#next();
    });
  }

  /** Starts a batch if one is ready, or sets the timer for the item that will be ready first. */
  #next(): void {
    clearTimeout(this.#timer);
    if (this.#busy) return;
    const { size, waitMs } = this.#options;
    const now = performance.now();
    let soonest: { kind: ItemKind; since: number; ready: boolean } | undefined;
    for (const kind of ['image', 'text'] as const) {
      const queue = this.#queues[kind];
      const [oldest] = queue;
      if (oldest === undefined) continue;
      const ready = oldest.urgent || queue.length >= size || now - oldest.since >= waitMs;
      const since = oldest.urgent ? -Infinity : oldest.since;
      const before = soonest !== undefined && (soonest.ready !== ready ? ready : since < soonest.since); // prettier-ignore
      if (soonest === undefined || before) soonest = { kind, since, ready };
    }
    if (soonest === undefined) return;
    if (soonest.ready) {
      void this.#compute(soonest.kind);
      return;
    }
    const left = Math.max(1, Math.ceil(soonest.since + waitMs - now));
    this.#timer = setTimeout(() => {
      this.#next();
    }, left);
  }

  async #compute(kind: ItemKind): Promise<void> {
    const { size, run, onBatch } = this.#options;
    const batch = this.#queues[kind].splice(0, size);
    const oldest = Math.min(...batch.map(({ since }) => since));
    onBatch?.({ kind, size: batch.length, waitedMs: performance.now() - oldest });
    this.#busy = true;
    try {
      const results = await run(
        kind,
        batch.map(({ item }) => item),
      );
      for (const [i, { resolve, reject }] of batch.entries()) {
        const result = results[i];
        if (result === undefined) reject(new Error('A batch gave too few results.'));
        else if ('error' in result) reject(result.error);
        else resolve(result.value);
      }
    } catch (error) {
      for (const { reject } of batch) reject(asError(error));
    } finally {
      this.#busy = false;
      this.#next();
    }
  }
}

function reasonOf(signal: AbortSignal | undefined): Error {
  return asError(signal?.reason);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
