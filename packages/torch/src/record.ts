/** Recording of the operators that a computation calls: the graph of one run. */
import type { Argument } from './argument.js';
import type { DType, TypedArray } from './dtype.js';
import { TorchError } from './errors.js';
import { Tensor } from './tensor.js';

/** A tensor of a recording. */
export interface RecordedTensor {
  /** The same for every use of one tensor; in the order of first use. */
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** An argument of a recorded call. */
export type RecordedArgument =
  | { readonly tensor: number }
  | number
  | bigint
  | boolean
  | string
  | null
  | undefined
  | readonly RecordedArgument[];

/** A call of an operator with tensors as its results. */
export interface RecordedCall {
  /** Name and overload: `aten::add.Tensor`. */
  readonly operator: string;
  readonly args: readonly RecordedArgument[];
  /** Ids of the results. */
  readonly results: readonly number[];
  /** The result is a list of tensors, or several, not one. */
  readonly several: boolean;
}

/** The calls of a computation, in order. */
export class Recording {
  readonly calls: RecordedCall[] = [];
  /** Every tensor, by id. */
  readonly tensors: RecordedTensor[] = [];
  /** Elements of tensors on the CPU that no recorded call made, by id. */
  readonly values = new Map<number, TypedArray>();
  readonly #ids = new Map<Tensor, number>();

  /** The id of a tensor that the computation used, or undefined. */
  idOf(tensor: Tensor): number | undefined {
    return this.#ids.get(tensor);
  }

  /** Enters a tensor, such as an input or a parameter, under an id of its own. */
  enter(tensor: Tensor): number {
    const known = this.#ids.get(tensor);
    if (known !== undefined) return known;
    const id = this.tensors.length;
    this.#ids.set(tensor, id);
    this.tensors.push({ id, dtype: tensor.dtype, shape: tensor.shape });
    return id;
  }

  /** Adds a call; {@link Operator} does so while a recording is open. */
  add(operator: string, args: readonly Argument[], results: Tensor | readonly Tensor[]): void {
    const recorded = args.map((arg) => this.#argument(arg));
    const several = Array.isArray(results);
    const list = several ? (results as readonly Tensor[]) : [results as Tensor];
    const ids = list.map((tensor) => this.enter(tensor));
    this.calls.push({ operator, args: recorded, results: ids, several });
  }

  #argument(arg: Argument): RecordedArgument {
    if (arg instanceof Tensor) return { tensor: this.#input(arg) };
    if (Array.isArray(arg)) return (arg as readonly Argument[]).map((item) => this.#argument(item));
    if (typeof arg === 'object' && arg !== null) {
      throw new TorchError('A computation that draws random numbers cannot be recorded.');
    }
    return arg;
  }

  #input(tensor: Tensor): number {
    const known = this.#ids.has(tensor);
    const id = this.enter(tensor);
    if (!known && tensor.device === 'cpu') this.values.set(id, tensor.toTypedArray());
    return id;
  }
}

let open: Recording | null = null;

/** The open recording; null: none. */
export function openRecording(): Recording | null {
  return open;
}

/** True while {@link record} runs: modules then leave out what depends on the elements of a tensor. */
export function isRecording(): boolean {
  return open !== null;
}

/**
 * Records the operators that `body` calls. On the device `meta` nothing is computed, so that the
 * recording of a large model costs next to nothing. Tensors of the recording may be disposed.
 *
 * @throws TorchError if an operator changes its arguments, draws random numbers, or a recording is open.
 */
export function record(body: (recording: Recording) => void): Recording {
  if (open !== null) throw new TorchError('A recording is open already; end it first.');
  open = new Recording();
  try {
    const made = open;
    body(made);
    return made;
  } finally {
    open = null;
  }
}
