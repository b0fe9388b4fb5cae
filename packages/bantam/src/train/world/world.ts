/** The processes that train one model together. */
import {
  BatchNorm2d,
  fromTypedArray,
  type Module,
  type RowRange,
  type Tensor,
} from '@bantam/torch';
import {
  broadcastAll,
  gatherTensors,
  GradientSums,
  GroupError,
  type ProcessGroup,
} from '@bantam/torch/distributed';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { rowsOfPart, type BatchPart } from '../../data/index.js';
import { MixtureOfExperts } from '../../models/index.js';

/** The outcome of work that rank 0 has done alone. */
type Outcome<T> = { readonly value: T } | { readonly failure: string };

/** Options of {@link World}. */
export interface WorldOptions {
  /** Processes on this machine. */
  readonly localSize: number;
}

/**
 * The processes that train one model together, each on its rows of every micro-batch. All of them do the same
 * in the same order; rank 0 alone writes, validates and decides by its clock.
 */
export class World {
  /** Number of this process, 0 … size − 1. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Processes on this machine. */
  readonly localSize: number;
  /** True if the signal of any process has come. */
  isStopWished = false;
  /** Broken samples of this process that rank 0 knows. */
  reported = 0;
  readonly #group: ProcessGroup;
  #signal: AbortSignal | undefined;
  #sums: GradientSums | null = null;
  /** True if layers have sums of their own in the backward pass. */
  #hasJoined = false;

  constructor(group: ProcessGroup, { localSize }: WorldOptions) {
    this.#group = group;
    this.rank = group.rank;
    this.size = group.size;
    this.localSize = localSize;
  }

  /** Begins a training, which any process's signal stops after the current step. */
  begin(signal: AbortSignal | undefined): void {
    this.#signal = signal;
    this.#sums = null;
    this.isStopWished = false;
    this.reported = 0;
  }

  /** True for the process that writes and decides. */
  get isFirst(): boolean {
    return this.rank === 0;
  }

  /** True if this process's signal has come. */
  get wantsStop(): boolean {
    return this.#signal?.aborted === true;
  }

  /** Seconds spent in collectives, waiting for the others included. */
  get seconds(): number {
    return this.#group.seconds;
  }

  /** This process's part of every micro-batch. */
  get part(): BatchPart {
    return { index: this.rank, count: this.size };
  }

  /** This process's rows of a micro-batch. */
  rows(microBatch: number): RowRange {
    return { ...rowsOfPart(microBatch, this.part), total: microBatch };
  }

  /** Rows of a micro-batch that each process has. */
  rowCounts(microBatch: number): number[] {
    const { size: count } = this;
    return Array.from(
      { length: count },
      (_, index) => rowsOfPart(microBatch, { index, count }).length,
    );
  }

  /** Each process's value, by rank; plain JSON. */
  exchange<T>(value: T): Promise<T[]> {
    return this.#group.exchange(value);
  }

  /** True in all processes if it is in all of them. */
  async every(condition: boolean): Promise<boolean> {
    using least = fromTypedArray(Float32Array.of(Number(condition)));
    await this.#group.allReduce([least], { op: 'min' });
    return least.item() === 1;
  }

  /** Rank 0's number, in all processes. */
  async ofFirst(value: number): Promise<number> {
    using shared = fromTypedArray(Float64Array.of(value));
    await this.#group.broadcast([shared]);
    return shared.item();
  }

  /** Rank 0 does some work alone, for which the others wait. Its value, plain JSON, comes to all, and its failure too. */
  async first<T>(work: () => Promise<T>): Promise<T> {
    if (this.isFirst) return await this.#lead(work);
    const [outcome] = await this.exchange<Outcome<T> | null>(null);
    if (outcome === null || outcome === undefined) throw new RangeError('Rank 0 said nothing.');
    if ('failure' in outcome) throw new BantamError(`Rank 0 has failed: ${outcome.failure}`);
    return outcome.value;
  }

  /** In work that rank 0 does alone: gives the others a value before that of the work. */
  async tell(value: unknown): Promise<void> {
    await this.exchange<Outcome<unknown>>({ value });
  }

  async #lead<T>(work: () => Promise<T>): Promise<T> {
    let value: T;
    try {
      value = await work();
    } catch (error) {
      await this.exchange<Outcome<T>>({ failure: messageOf(error) });
      throw error;
    }
    await this.tell(value);
    return value;
  }

  /** The rows of all processes, rank after rank; without gradient. */
  gatherRows(rows: Tensor, counts: readonly number[]): Promise<Tensor> {
    return this.#group.gatherRows(rows, counts);
  }

  /**
   * Runs the last backward pass before {@link sumGradients}, whose sums begin meanwhile unless layers have sums of
   * their own in it ({@link joinParts}), which would wait behind them.
   */
  whileSumming(parameters: readonly Tensor[], pass: () => void): void {
    if (this.#hasJoined) pass();
    else this.#sumsOf(parameters).during(pass);
  }

  /** Replaces gradients by their sums over the processes. */
  sumGradients(parameters: readonly Tensor[]): Promise<void> {
    return this.#sumsOf(parameters).finish();
  }

  #sumsOf(parameters: readonly Tensor[]): GradientSums {
    if (this.#sums?.isOf(parameters) !== true) {
      this.#sums = new GradientSums(this.#group, parameters);
    }
    return this.#sums;
  }

  /** Gives tensors the values that they have in the process `root`. */
  broadcast(tensors: readonly Tensor[], root = 0): Promise<void> {
    return broadcastAll(this.#group, tensors, root);
  }

  /** Copies of the tensors that the other processes have, in rank 0, whose caller frees them. */
  gatherTensors(own: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> {
    return gatherTensors(this.#group, own);
  }

  /**
   * Lets the layers of a module that join the samples of a micro-batch see whole ones in training: batch norms
   * their statistics, mixtures of experts the load of the experts.
   */
  joinParts(module: Module): void {
    this.#hasJoined = false;
    for (const layer of module.namedModules().values()) {
      const isJoined = layer instanceof BatchNorm2d || layer instanceof MixtureOfExperts;
      this.#hasJoined ||= isJoined;
      if (layer instanceof BatchNorm2d) layer.sumOverParts = (x) => this.#group.sumOver(x);
      if (layer instanceof MixtureOfExperts) {
        layer.gatherParts = (rows) => this.#group.gatherRowsNow(rows);
      }
    }
  }

  /**
   * @throws BantamError that names the first process whose facts differ from rank 0's.
   *
   * @param facts - Values that must be equal in all processes, by what they are
   */
  async requireEqual(facts: Readonly<Record<string, string>>): Promise<void> {
    const found = await this.exchange(facts);
    const first = at(found, 0);
    for (const [rank, theirs] of found.entries()) {
      const name = Object.keys(first).find((key) => first[key] !== theirs[key]);
      if (name === undefined) continue;
      throw new BantamError(
        `The ${name} of rank ${rank} is not that of rank 0 (${String(theirs[name])}, ${String(first[name])}); all processes need the same.`,
      );
    }
  }

  /** An error of a computation that the processes share: lost processes are named. */
  explain(error: unknown): Promise<unknown> {
    return this.#group.explain(error);
  }

  /** Tells the others why this process ends, unless they are the reason. */
  async fail(error: unknown): Promise<void> {
    const isOurs = error instanceof Error && !isLoss(error);
    if (isOurs) await this.#group.fail(error.message).catch(() => undefined);
  }

  /** Ends together with the others. */
  async leave(): Promise<void> {
    await this.#group.leave();
  }
}

/** True for an error that comes from the others: the processes have lost each other. */
function isLoss(error: Error): boolean {
  return error instanceof GroupError || error.cause instanceof GroupError;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
