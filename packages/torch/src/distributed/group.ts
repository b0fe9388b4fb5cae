/** Groups of processes and their collectives. */
import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../at.js';
import { isAccelerator } from '../device.js';
import { TorchError } from '../errors.js';
import { noGrad } from '../autograd.js';
import { native } from '../native.js';
import { Operator } from '../operator.js';
import { zeros } from '../ops/create.js';
import { cat, contiguous, narrow, to } from '../ops/shape.js';
import { scope } from '../scope.js';
import { fromTypedArray, Tensor } from '../tensor.js';
import type { Rendezvous } from './environment.js';
import {
  connectFailure,
  failureOf,
  joinFailure,
  lostWhileJoining,
  ranks,
  reasonOf,
} from './failure.js';

/** Options of {@link joinGroup}. */
export interface JoinOptions {
  readonly rank: number;
  readonly size: number;
  readonly rendezvous: Rendezvous;
  /** Times that the group has been started again at the same meeting point. Default 0. */
  readonly restarts?: number;
  /** Seconds without a sign of life after which a process hangs for the others. Default 25. */
  readonly patience?: number;
  /** Seconds in which all processes must have come. Default 120. */
  readonly arrival?: number;
  /** Facts that must be the same in all processes by name, such as versions. Default none. */
  readonly facts?: Readonly<Record<string, string>>;
}

/** Seconds in which the processes that are there say so after a failure. */
const rollCallSeconds = 6;

/** Time in which the others read rank 0's store before it ends. */
const lingerMilliseconds = 500;

/** Milliseconds between two looks at the signs of life of those who join. */
const lookMilliseconds = 500;

/** Milliseconds in which all connect, once they have come: Gloo's own, and some. */
const connectMilliseconds = 40_000;

/** Begins the message of a failed sum within a graph. */
const failedSum = 'a sum over the processes failed';

const sumOverOp = new Operator('bantam::sum_over_group');

let groupsMade = 0;

/**
 * Joins a group of processes: meets the others, compares facts with them and connects to each (Gloo).
 *
 * @throws TorchError in one sentence if libtorch has no Gloo, the meeting point cannot be reached or is
 * taken, a process does not come, ends or hangs before all are connected, or facts differ.
 */
export async function joinGroup(options: JoinOptions): Promise<ProcessGroup> {
  const {
    rank,
    size,
    rendezvous,
    restarts = 0,
    arrival = 120,
    patience = 25,
    facts = {},
  } = options;
  if (!native.hasGloo()) {
    throw new TorchError(
      'Several processes need Gloo, which this libtorch was built without; run one process, or install libtorch from its wheel ("npx bantam setup").',
    );
  }
  const name = `group${groupsMade++}`;
  const untilAll = Math.round(arrival * 1000);
  const earlier = new Set(native.connections());
  let isOpen = false;
  try {
    if ('file' in rendezvous) {
      await native.openFileStore(name, rendezvous.file, size, untilAll);
    } else {
      const { host, port, isHosted = false } = rendezvous;
      await native.openTcpStore(name, host, port, rank === 0 && !isHosted, untilAll);
    }
    isOpen = true;
    const keys = Array.from({ length: size }, (_, i) => `bantam/${restarts}/here/${i}`);
    const [taken] = await native.storeWait(name, [at(keys, rank)], 1);
    if (taken !== null) {
      throw new TorchError(
        `There is another process of rank ${rank}; give each its own RANK, 0 to ${size - 1}.`,
      );
    }
    const prefix = `bantam/${restarts}/group`;
    const silence = Math.round(patience * 1000);
    native.watchGroup(name, prefix, rank, size, silence);
    const own = { WORLD_SIZE: String(size), ...facts };
    await native.storeSet(name, at(keys, rank), JSON.stringify(own));
    const group = { name, size, rendezvous, silence };
    compareFacts(await whileAlive(native.storeWait(name, keys, untilAll), group), { arrival });
    await whileAlive(connect(group, { prefix, rank }), group);
  } catch (error) {
    // The others learn the same from rank 0's store.
    if (rank === 0 && error instanceof TorchError) await sleep(lingerMilliseconds);
    // A store that does not answer holds up whoever waits for it.
    await within(lingerMilliseconds / 1000, native.leaveGroup(name));
    if (error instanceof TorchError) throw error;
    throw isOpen && !('file' in rendezvous)
      ? failureOf(null, { size, reason: reasonOf(error) })
      : joinFailure(error, { rank, rendezvous, arrival });
  }
  const own = native.connections().filter((connection) => !earlier.has(connection));
  native.limitSilence(own, Math.round(patience * 1000));
  return new ProcessGroup({ name, rank, size, restarts });
}

/** A group while its processes come together. */
interface Joining {
  readonly name: string;
  readonly size: number;
  readonly rendezvous: Rendezvous;
  /** Milliseconds without a sign of life after which a process hangs for the others. */
  readonly silence: number;
}

/** @throws GroupError that names the processes that end or hang before a part of joining is done. */
async function whileAlive<T>(part: Promise<T>, group: Joining): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const lost = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      const found = native.lostRanks(group.name, group.silence);
      if (found !== null) reject(lostWhileJoining(found, group));
    }, lookMilliseconds);
  });
  try {
    return await Promise.race([part, lost]);
  } finally {
    clearInterval(timer);
  }
}

/**
 * Connects to all others. Nobody goes on, and perhaps ends, while others still connect.
 *
 * @throws GroupError that names the processes that are not there any more, if it is they.
 */
async function connect(
  group: Joining,
  { prefix, rank }: { readonly prefix: string; readonly rank: number },
): Promise<void> {
  const { name, size } = group;
  try {
    await native.joinGroup(name, prefix, rank, size);
  } catch (error) {
    await sleep(rollCallSeconds * 1000);
    const lost = native.lostRanks(name, rollCallSeconds * 800);
    if (lost !== null) throw lostWhileJoining(lost, group);
    throw connectFailure(size, error);
  }
  const keys = Array.from({ length: size }, (_, i) => `${prefix}/connected/${i}`);
  await native.storeSet(name, at(keys, rank), '');
  const found = await native.storeWait(name, keys, connectMilliseconds);
  if (found.includes(null)) throw connectFailure(size, 'not all of them could connect');
}

/** @throws TorchError if a process did not come, or one has other facts than rank 0. */
function compareFacts(found: readonly (string | null)[], { arrival }: { arrival: number }): void {
  const missing = [...found.keys()].filter((rank) => found[rank] === null);
  if (missing.length > 0) {
    throw new TorchError(
      `${ranks(missing)} of ${found.length} did not come within ${arrival} s; start all ${found.length} processes with the same meeting point.`,
    );
  }
  const [first = {}, ...others] = found.map(
    (text) => JSON.parse(text ?? '{}') as Readonly<Record<string, string>>,
  );
  for (const [i, facts] of others.entries()) {
    for (const name of new Set([...Object.keys(first), ...Object.keys(facts)])) {
      if (first[name] === facts[name]) continue;
      throw new TorchError(
        `Rank ${i + 1} has ${name} ${String(facts[name])}, but rank 0 has ${String(first[name])}; all processes of a group must have the same.`,
      );
    }
  }
}

/** Options of {@link ProcessGroup.allReduce}. */
export interface AllReduceOptions {
  /** Default `sum`. */
  readonly op?: 'sum' | 'max' | 'min';
  /** False if other work goes on before {@link ProcessGroup.waitFor} waits for it. Default true. */
  readonly isAwaited?: boolean;
}

/**
 * Processes that compute together. Every process calls the same collectives in the same order. They do not
 * hold up other code while they wait, which they do as long as all processes live.
 *
 * A collective that fails, as a process has ended or hangs, throws a GroupError that names it; the group
 * is of no use afterwards.
 */
export class ProcessGroup {
  /** This process's number, 0 … size − 1. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  readonly #name: string;
  readonly #restarts: number;
  #failure: Promise<TorchError> | null = null;
  #seconds = 0;

  /** Use {@link joinGroup}. */
  constructor(joined: {
    readonly name: string;
    readonly rank: number;
    readonly size: number;
    readonly restarts: number;
  }) {
    this.#name = joined.name;
    this.rank = joined.rank;
    this.size = joined.size;
    this.#restarts = joined.restarts;
  }

  /** Seconds of waiting for collectives, and so for the other processes; those within a graph apart. */
  get seconds(): number {
    return this.#seconds;
  }

  /** Replaces contiguous tensors of the CPU, of equal shapes in all processes, by their sum, largest or least. */
  async allReduce(
    tensors: readonly Tensor[],
    { op = 'sum', isAwaited = true }: AllReduceOptions = {},
  ): Promise<void> {
    if (tensors.length === 0) return;
    const done = this.#run(() => native.allReduce(this.#name, handles(tensors), op));
    await (isAwaited ? this.waitFor(done) : done);
  }

  /** Waits for a collective that began earlier; the wait counts among the {@link seconds}. */
  async waitFor<T>(done: Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await done;
    } finally {
      this.#seconds += (performance.now() - begun) / 1000;
    }
  }

  /** The rows of all processes, rank after rank: [n, …] → [size · n, …]; of equal shapes in all processes. */
  async allGather(tensors: readonly Tensor[]): Promise<Tensor[]> {
    if (tensors.length === 0) return [];
    const gathered = await this.waitFor(
      this.#run(() => native.allGather(this.#name, handles(tensors))),
    );
    return gathered.map((handle) => new Tensor(handle));
  }

  /** Gives contiguous tensors of the CPU the values that they have in the process `root`. */
  async broadcast(tensors: readonly Tensor[], root = 0): Promise<void> {
    if (tensors.length === 0) return;
    await this.waitFor(this.#run(() => native.broadcast(this.#name, handles(tensors), root)));
  }

  /** Waits until all processes have come here. */
  async barrier(): Promise<void> {
    using nothing = zeros([1], { device: 'cpu' });
    await this.allReduce([nothing]);
  }

  /**
   * The rows of all processes, rank after rank, where each has its own number of them; without gradient,
   * on the device of `rows`.
   *
   * @param counts - Rows of each process
   */
  async gatherRows(rows: Tensor, counts: readonly number[]): Promise<Tensor> {
    const most = Math.max(...counts);
    const { device } = rows;
    const padded = noGrad(() =>
      scope(() => {
        const here = contiguous(isAccelerator(device) ? to(rows, { device: 'cpu' }) : rows);
        const lacking = most - here.dim(0);
        if (lacking === 0) return here;
        const { dtype } = here;
        return cat([here, zeros([lacking, ...here.shape.slice(1)], { dtype, device: 'cpu' })]);
      }),
    );
    const [all] = await this.allGather([padded]);
    if (padded !== rows) padded.dispose();
    if (all === undefined) throw new RangeError('A collective gave no result.');
    const whole = scope(() => {
      const parts = counts.map((count, rank) => narrow(all, 0, rank * most, count));
      return to(cat(parts), { device });
    });
    all.dispose();
    return whole;
  }

  /**
   * {@link gatherRows} of any number of rows of the CPU while a graph is built: it holds this thread up until the
   * others have come.
   *
   * @returns the rows of all, and the first of this process's
   */
  gatherRowsNow(rows: Tensor): { rows: Tensor; start: number } {
    return noGrad(() =>
      scope(() => {
        const count = rows.dim(0);
        const own = Array.from({ length: this.size }, (_, rank) =>
          rank === this.rank ? count : 0,
        );
        const counts = this.sumOver(fromTypedArray(Float64Array.from(own))).toArray();
        const sum = (of: readonly number[]): number => of.reduce((total, one) => total + one, 0);
        const start = sum(counts.slice(0, this.rank));
        const { dtype } = rows;
        const nothing = (length: number): Tensor =>
          zeros([length, ...rows.shape.slice(1)], { dtype, device: 'cpu' });
        const rest = sum(counts) - start - count;
        // x + 0 is x, so that the sum is a copy.
        return { rows: this.sumOver(cat([nothing(start), rows, nothing(rest)])), start };
      }),
    );
  }

  /** Each process's value, by rank; plain JSON. */
  async exchange<T>(value: T): Promise<T[]> {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    using length = fromTypedArray(BigInt64Array.of(BigInt(bytes.length)));
    const [lengths] = await this.allGather([length]);
    const counts = lengths?.toArray() ?? [];
    lengths?.dispose();
    using own = fromTypedArray(bytes);
    using all = await this.gatherRows(own, counts);
    const text = all.toTypedArray() as Uint8Array;
    let start = 0;
    return counts.map((count) => {
      const part = text.subarray(start, (start += count));
      return JSON.parse(new TextDecoder().decode(part)) as T;
    });
  }

  /**
   * Σ x over the processes as an operator of the graph: in the backward pass of the sum of their losses
   * it adds up the gradients of all. It holds this thread up until the others have come.
   */
  sumOver(x: Tensor): Tensor {
    return sumOverOp.tensor(x, this.#name);
  }

  /** The error of a failed {@link sumOver} as that of other collectives; any other unchanged. */
  async explain(error: unknown): Promise<unknown> {
    const isOurs = error instanceof Error && error.message.includes(failedSum);
    return isOurs ? await this.#explain(error) : error;
  }

  /** Names the processes that have ended or hang: for a few seconds each says that it is there. */
  async #explain(error: unknown): Promise<TorchError> {
    this.#failure ??= this.#rollCall(error);
    return await this.#failure;
  }

  /** Tells the others, whose collectives fail now, why this process ends. */
  async fail(message: string): Promise<void> {
    native.dropConnections(this.#name);
    await within(rollCallSeconds, native.storeSet(this.#name, this.#rollKey(this.rank), message));
  }

  /** Leaves the group when all have come here. */
  async leave(): Promise<void> {
    if (this.#failure === null) await this.barrier();
    await native.leaveGroup(this.#name);
  }

  async #run<T>(collective: () => Promise<T>): Promise<T> {
    if (this.#failure !== null) throw await this.#failure;
    try {
      return await collective();
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  #rollKey(rank: number): string {
    return `bantam/${this.#restarts}/roll/${rank}`;
  }

  async #rollCall(error: unknown): Promise<TorchError> {
    native.dropConnections(this.#name);
    const keys = Array.from({ length: this.size }, (_, rank) => this.#rollKey(rank));
    const call = async (): Promise<(string | null)[]> => {
      await native.storeSet(this.#name, at(keys, this.rank), '');
      return await native.storeWait(this.#name, keys, rollCallSeconds * 1000);
    };
    const answers = await within(rollCallSeconds + 2, call());
    if (this.rank === 0) await sleep(lingerMilliseconds);
    return failureOf(answers, { size: this.size, reason: reasonOf(error) });
  }
}

function handles(tensors: readonly Tensor[]) {
  return tensors.map(({ handle }) => handle);
}

/** A promise's value; null if it fails or takes longer than that, and then nothing waits for it. */
async function within<T>(seconds: number, promise: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => {
      resolve(null);
    }, seconds * 1000);
  });
  try {
    return await Promise.race([promise.catch(() => null), late]);
  } finally {
    clearTimeout(timer);
    native.abandonTasks();
  }
}
