import { cat, dtypeBytes, keep, noGrad, scope, type DType, type Tensor } from '@bantam/torch';
import { ProcessGroup, type AllReduceOptions } from '@bantam/torch/distributed';

/** A collective that a {@link RecordingGroup} was asked for. */
export interface RecordedCollective {
  readonly kind: 'sum' | 'max' | 'min' | 'gather' | 'broadcast';
  /** The tensors that this process gives. */
  readonly tensors: readonly { readonly dtype: DType; readonly bytes: number }[];
}

/**
 * A group of any number of processes of which this is the first and the only one that runs: for what a training
 * of many processes sends and keeps. It records the collectives. Gathers give this process's rows in place of
 * every other's, and sums are what this process has.
 */
export class RecordingGroup extends ProcessGroup {
  readonly collectives: RecordedCollective[] = [];

  constructor(size: number) {
    super({ name: 'recorded', rank: 0, size, restarts: 0 });
  }

  override allReduce(
    tensors: readonly Tensor[],
    { op = 'sum' }: AllReduceOptions = {},
  ): Promise<void> {
    this.#record(op, tensors);
    return Promise.resolve();
  }

  override allGather(tensors: readonly Tensor[]): Promise<Tensor[]> {
    this.#record('gather', tensors);
    const copies = (tensor: Tensor) => Array.from({ length: this.size }, () => tensor);
    return Promise.resolve(
      noGrad(() => scope(() => tensors.map((tensor) => keep(cat(copies(tensor)))))),
    );
  }

  override broadcast(tensors: readonly Tensor[]): Promise<void> {
    this.#record('broadcast', tensors);
    return Promise.resolve();
  }

  override fail(): Promise<void> {
    return Promise.resolve();
  }

  override leave(): Promise<void> {
    return Promise.resolve();
  }

  #record(kind: RecordedCollective['kind'], tensors: readonly Tensor[]): void {
    if (tensors.length === 0) return;
    const facts = tensors.map(({ dtype, size }) => ({ dtype, bytes: size * dtypeBytes(dtype) }));
    this.collectives.push({ kind, tensors: facts });
  }
}
