import { createHash } from 'node:crypto';
import { prepareDevice, type Device } from './device.js';
import { native, type GeneratorHandle } from './native.js';
import { fromTypedArray, Tensor } from './tensor.js';

/** Options of {@link Generator}. */
export interface GeneratorOptions {
  seed?: number | bigint;
  /**
   * The CPU's stream is the same on every machine, and serves tensors of every device, whose numbers are
   * then sampled on the CPU. Another device's serves its own tensors alone. Default `cpu`.
   */
  device?: Device;
}

/** The rows of a whole that a process has: `length` of `total`, from `start` on. */
export interface RowRange {
  readonly start: number;
  readonly length: number;
  readonly total: number;
}

/** A stream of random numbers; every random operator takes one, there is no hidden global stream. */
export class Generator {
  /** The addon's handle. */
  readonly handle: GeneratorHandle;
  /** The device that samples the numbers. */
  readonly device: Device;
  /**
   * The rows that tensors have of a whole, for which the numbers are sampled: what a row gets does not
   * depend on how many rows this process has. A tensor may have several rows for each of them, one after
   * the other. Null: tensors are whole.
   */
  rows: RowRange | null = null;

  constructor({ seed = 0, device = 'cpu' }: GeneratorOptions = {}) {
    this.device = prepareDevice(device);
    this.handle = native.createGenerator(this.device, BigInt.asUintN(64, BigInt(seed)));
  }

  /** The position in the stream as bytes: what {@link setState} takes back. */
  state(): Uint8Array {
    using state = new Tensor(native.generatorState(this.handle));
    return state.toTypedArray() as Uint8Array;
  }

  /** Continues from the position at which `state` was read. */
  setState(state: Uint8Array): void {
    using tensor = fromTypedArray(state);
    native.setGeneratorState(this.handle, tensor.handle);
  }
}

/**
 * One named random stream per purpose (`init`, `dropout`, `mask`, …), all derived from one seed, so
 * that more samples from one change nothing in the others.
 *
 * The seed of stream `n` is the first 64 bits of SHA-256(`seed/n`).
 */
export class RandomStreams {
  readonly seed: number;
  readonly #device: Device;
  readonly #streams = new Map<string, Generator>();
  #rows: RowRange | null = null;

  constructor({ seed = 0, device = 'cpu' }: { seed?: number; device?: Device } = {}) {
    this.seed = seed;
    this.#device = device;
  }

  /** The stream of that name; made at its first use. */
  get(name: string): Generator {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      const digest = createHash('sha256').update(`${this.seed}/${name}`).digest();
      stream = new Generator({ seed: digest.readBigUInt64LE(0), device: this.#device });
      stream.rows = this.#rows;
      this.#streams.set(name, stream);
    }
    return stream;
  }

  /** Sets {@link Generator.rows} of all streams while `body` runs. */
  forRows<T>(rows: RowRange | null, body: () => T): T {
    const before = this.#rows;
    this.#limit(rows);
    try {
      return body();
    } finally {
      this.#limit(before);
    }
  }

  #limit(rows: RowRange | null): void {
    this.#rows = rows;
    for (const stream of this.#streams.values()) stream.rows = rows;
  }

  /** The states of all streams used so far, by name. */
  state(): Record<string, Uint8Array> {
    return Object.fromEntries([...this.#streams].map(([name, stream]) => [name, stream.state()]));
  }

  /** Takes back what {@link state} gave; streams that were not used then start anew. */
  setState(states: Readonly<Record<string, Uint8Array>>): void {
    for (const name of this.#streams.keys()) {
      if (!(name in states)) this.#streams.delete(name);
    }
    for (const [name, state] of Object.entries(states)) this.get(name).setState(state);
  }
}
