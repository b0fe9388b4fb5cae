/** Processes that compute batches of images and texts for one of them. */
import { fromTypedArray, torchVersion } from '@bantam/torch';
import {
  GroupError,
  joinGroup,
  worldFromEnvironment,
  type ProcessGroup,
} from '@bantam/torch/distributed';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { Order } from './orders.js';

/** Result of one batch. */
export interface Computed<T> {
  /** Plain JSON. */
  readonly facts: T;
  readonly rows: number;
  /** Matrices with that many rows, each contiguous. */
  readonly tables: readonly Float32Array[];
}

/** A batch without its numbers, or why a process has none. */
type News<T> =
  | { readonly facts: T; readonly rows: number; readonly widths: readonly number[] }
  | { readonly failure: string };

/**
 * Processes that compute together: rank 0 does a command's work, and where it has batches to encode, each
 * process computes some of them. Batches are those of one process, so their features are as well. The
 * others follow orders ({@link followOrders}) and write nothing.
 */
export class Helpers {
  /** Number of this process, 0 … size − 1. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  readonly #group: ProcessGroup;
  /** Errors that all processes have at once. */
  readonly #shared = new WeakSet<object>();
  /** False while rank 0 owes the others something. */
  #isIdle = true;

  constructor(group: ProcessGroup) {
    this.#group = group;
    this.rank = group.rank;
    this.size = group.size;
  }

  /**
   * The processes that a launcher has started with this one, by the environment variables of `--processes`,
   * `torchrun` or `srun`; null if it was started alone.
   *
   * @throws TorchError if they do not come together.
   */
  static async join(
    env: Readonly<Record<string, string | undefined>> = process.env,
  ): Promise<Helpers | null> {
    const found = worldFromEnvironment(env);
    if (found === null) return null;
    const { rank, size, rendezvous, restarts } = found;
    const facts = { libtorch: torchVersion(), 'Node.js': process.version };
    return new Helpers(await joinGroup({ rank, size, rendezvous, restarts, facts }));
  }

  /** True for the process that does the command's work. */
  get isFirst(): boolean {
    return this.rank === 0;
  }

  /** Rank 0 gives an order to all; the others have received it before they come here. */
  async give(order: Order): Promise<void> {
    if (this.isFirst) await this.#group.exchange<Order>(order);
    this.#isIdle = false;
  }

  /** The next order, for all but rank 0. */
  async receive(): Promise<Order> {
    return at(await this.#group.exchange<Order | null>(null), 0) ?? { kind: 'end' };
  }

  /** @throws BantamError that names the first process whose value is not rank 0's. */
  async requireEqual(what: string, value: string): Promise<void> {
    const found = await this.#group.exchange(value);
    this.#isIdle = true;
    const rank = found.findIndex((theirs) => theirs !== found[0]);
    if (rank < 0) return;
    throw this.#asShared(
      `The ${what} of rank ${rank} is not that of rank 0 (${at(found, rank).slice(0, 12)}, ${at(found, 0).slice(0, 12)}); all processes need the same.`,
    );
  }

  /**
   * Computes batches 0 … count − 1, batch i in rank i mod N, and gives all of them in their order to every
   * process.
   *
   * @throws BantamError if one of them cannot be computed: then in all processes, which may go on together.
   */
  async *divide<T>(
    count: number,
    compute: (batch: number) => Promise<Computed<T>>,
  ): AsyncGenerator<Computed<T>, void, undefined> {
    for (let first = 0; first < count; first += this.size) {
      const batch = first + this.rank;
      const own = batch < count ? await outcome(() => compute(batch)) : null;
      const news = await this.#group.exchange<News<T> | null>(own === null ? null : newsOf(own));
      const parts = news.map((one, rank) => {
        if (one === null || !('failure' in one)) return one;
        this.#isIdle = true;
        throw this.#asShared(
          rank === this.rank
            ? one.failure
            : `Rank ${rank} of ${this.size} has failed: ${one.failure}`,
        );
      });
      const rows = parts.map((part) => part?.rows ?? 0);
      const widths = parts.find((part) => part !== null && part.rows > 0)?.widths ?? [];
      const tables: Float32Array[] = [];
      for (const [t, width] of widths.entries()) {
        const values = own !== null && 'tables' in own ? own.tables[t] : undefined;
        tables.push(await this.#gather(values ?? new Float32Array(0), width, rows));
      }
      let start = 0;
      for (const part of parts) {
        if (part === null) continue;
        const end = start + part.rows;
        const own = tables.map((table, t) => {
          const width = at(widths, t);
          return table.subarray(start * width, end * width);
        });
        start = end;
        yield { facts: part.facts, rows: part.rows, tables: own };
      }
    }
    this.#isIdle = true;
  }

  /** The rows of all processes, rank after rank. */
  async #gather(
    values: Float32Array,
    width: number,
    rows: readonly number[],
  ): Promise<Float32Array> {
    using own = fromTypedArray(values, { shape: [values.length / width, width] });
    using all = await this.#group.gatherRows(own, rows);
    return all.toTypedArray() as Float32Array;
  }

  #asShared(message: string): BantamError {
    const error = new BantamError(message);
    this.#shared.add(error);
    return error;
  }

  /** True for an error that came to all processes: they go on together. */
  isShared(error: unknown): boolean {
    return error instanceof BantamError && this.#shared.has(error);
  }

  /** Ends the others after an error of this process, unless they are its reason. */
  async fail(error: unknown): Promise<void> {
    if (error instanceof GroupError || !(error instanceof Error)) return;
    if (this.isFirst && this.#isIdle) await this.end();
    else await this.#group.fail(error.message).catch(() => undefined);
  }

  /** Ends together with the others. Rank 0 needs none of them any more, so that a loss of some is no error. */
  async end(): Promise<void> {
    try {
      await this.give({ kind: 'end' });
      await this.#group.leave();
    } catch (error) {
      if (!this.isFirst || !(error instanceof GroupError)) throw error;
    }
  }
}

/** A batch, or the error in its place. */
async function outcome<T>(
  compute: () => Promise<Computed<T>>,
): Promise<Computed<T> | { readonly error: unknown }> {
  try {
    return await compute();
  } catch (error) {
    return { error };
  }
}

function newsOf<T>(own: Computed<T> | { readonly error: unknown }): News<T> {
  if ('error' in own) {
    return { failure: own.error instanceof Error ? own.error.message : String(own.error) };
  }
  const { facts, rows, tables } = own;
  return { facts, rows, widths: rows === 0 ? [] : tables.map(({ length }) => length / rows) };
}

/** Computes batches 0 … count − 1, with helpers if there are any, and gives them in their order. */
export async function* eachBatch<T>(
  count: number,
  compute: (batch: number) => Promise<Computed<T>>,
  helpers: Helpers | undefined,
): AsyncGenerator<Computed<T>, void, undefined> {
  if (helpers !== undefined) {
    yield* helpers.divide(count, compute);
    return;
  }
  for (let batch = 0; batch < count; batch++) yield await compute(batch);
}
