/** Division of an optimizer's state among processes. */
import { scope, type Optimizer, type Parameter, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import type { World } from './world.js';

/** The part of a {@link World} that {@link OptimizerShards} use. */
export type ShardWorld = Pick<World, 'rank' | 'size' | 'broadcast' | 'gatherTensors'>;

/** A parameter, and the process that moves it. */
interface Shard {
  readonly name: string;
  readonly parameter: Parameter;
  readonly owner: number;
}

/**
 * ZeRO-1 (Rajbhandari et al. 2020, section 5.1): every process has the whole gradient, but keeps the
 * optimizer's state of its own parameters alone, moves these, and gets the others from those who moved them. The
 * weights have the same bits as without, for optimizers whose step of a parameter depends on no other.
 *
 * Parameters are not divided: the largest first, each goes to the process that has the least so far.
 */
export class OptimizerShards {
  readonly #world: ShardWorld;
  readonly #shards: readonly Shard[];
  /** Those whose step is not shared yet. */
  #moving: readonly Shard[] = [];

  constructor(world: ShardWorld, { groups }: Pick<Optimizer, 'groups'>) {
    this.#world = world;
    const loads = Array.from({ length: world.size }, () => 0);
    this.#shards = groups
      .flatMap(({ parameters }) => [...parameters])
      .sort(([, a], [, b]) => b.size - a.size)
      .map(([name, parameter]) => {
        const owner = loads.indexOf(Math.min(...loads));
        loads[owner] = at(loads, owner) + parameter.size;
        return { name, parameter, owner };
      });
  }

  /** Before the optimizer's step: frees the gradients of the parameters that other processes move. */
  keepOwn(): void {
    this.#moving = scope(() => this.#shards.filter(({ parameter }) => parameter.grad !== null));
    for (const { parameter, owner } of this.#moving) {
      if (owner !== this.#world.rank) parameter.grad = null;
    }
  }

  /** After it: gives all processes the parameters that each has moved. */
  async share(): Promise<void> {
    for (let rank = 0; rank < this.#world.size; rank++) {
      const moved = this.#moving.filter(({ owner }) => owner === rank);
      await this.#world.broadcast(
        moved.map(({ parameter }) => parameter),
        rank,
      );
    }
    this.#moving = [];
  }

  /** The part of the optimizer's whole state that this process keeps. */
  own(state: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
    const own = new Set(
      this.#shards.flatMap(({ name, owner }) => (owner === this.#world.rank ? [name] : [])),
    );
    return new Map([...state].filter(([key]) => own.has(key.slice(0, key.lastIndexOf('.')))));
  }

  /** In rank 0 copies of the state that the other processes keep, which the caller frees; every process calls this. */
  gather(optimizer: Pick<Optimizer, 'state'>): Promise<Map<string, Tensor>> {
    return this.#world.gatherTensors(optimizer.state());
  }
}
