import type { Argument } from './argument.js';
import { TorchError } from './errors.js';
import type { Generator } from './random.js';
import { native, type NativeArgument, type NativeResult, type TensorHandle } from './native.js';
import { openRecording } from './record.js';
import { Tensor } from './tensor.js';

function toNative(argument: Argument): NativeArgument {
  if (typeof argument !== 'object' || argument === null) return argument;
  if (Array.isArray(argument)) return (argument as readonly Argument[]).map(toNative);
  return (argument as Tensor | Generator).handle;
}

/** An operator of libtorch's dispatcher, looked up at its first call. */
export class Operator {
  readonly #name: string;
  readonly #overload: string;
  #index: number | undefined;

  constructor(name: string, overload = '') {
    this.#name = name;
    this.#overload = overload;
  }

  get #resolved(): number {
    this.#index ??= native.resolve(this.#name, this.#overload);
    return this.#index;
  }

  /** The operator's schema as libtorch writes it. */
  get schema(): string {
    return native.schema(this.#resolved);
  }

  #call(args: readonly Argument[]): NativeResult {
    return native.call(this.#resolved, args.map(toNative));
  }

  /** Name and overload: `aten::add.Tensor`. */
  get name(): string {
    return this.#overload === '' ? this.#name : `${this.#name}.${this.#overload}`;
  }

  /** Calls an operator with one tensor as its result. */
  tensor(...args: readonly Argument[]): Tensor {
    const result = new Tensor(this.#call(args) as TensorHandle);
    openRecording()?.add(this.name, args, result);
    return result;
  }

  /** Calls an operator with several tensors, or a list of tensors, as its result. */
  tensors(...args: readonly Argument[]): Tensor[] {
    const results = (this.#call(args) as TensorHandle[]).map((handle) => new Tensor(handle));
    openRecording()?.add(this.name, args, results);
    return results;
  }

  /** Calls an operator whose result is a boolean. */
  boolean(...args: readonly Argument[]): boolean {
    return this.#call(args) as boolean;
  }

  /** Calls an operator that changes its arguments. */
  inPlace(...args: readonly Argument[]): void {
    if (openRecording() !== null) {
      throw new TorchError(`${this.#name} changes its arguments, which cannot be recorded.`);
    }
    native.callInPlace(this.#resolved, args.map(toNative));
  }
}
