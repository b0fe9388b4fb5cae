import { at, dtypeOfCode, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { requireElementType, type ElementType } from '../onnx/element-types.js';
import type { Graph } from '../onnx/graph.js';
import type { ProgramArgument, ProgramCall, ProgramTensor } from '../record/program.js';
import { isDynamic, type Size } from '../record/sizes.js';
import type { GraphValues } from './graph-values.js';

/** A recorded call while it is translated: its arguments as values of the graph, and its results. */
export class OperatorCall {
  readonly #call: ProgramCall;
  readonly #values: GraphValues;

  constructor(call: ProgramCall, values: GraphValues) {
    this.#call = call;
    this.#values = values;
  }

  get graph(): Graph {
    return this.#values.graph;
  }

  get operator(): string {
    return this.#call.operator;
  }

  /** Type and shape of the first result. */
  get result(): ProgramTensor {
    return this.#values.tensorOf(at(this.#call.results, 0));
  }

  /** Shapes of all results. */
  get results(): readonly ProgramTensor[] {
    return this.#call.results.map((id) => this.#values.tensorOf(id));
  }

  /** The element type of the first result. */
  get resultType(): ElementType {
    return requireElementType(this.result.dtype);
  }

  /** Type and shape of the tensor that is argument `i`. */
  tensor(i: number): ProgramTensor {
    return this.#values.tensorOf(this.#id(i));
  }

  /** The graph's value for the tensor that is argument `i`. */
  input(i: number): string {
    return this.#values.value(this.#id(i));
  }

  /** {@link input}, or '' where the argument is none. */
  optionalInput(i: number): string {
    return this.has(i) ? this.input(i) : '';
  }

  /** {@link input} in another element type. */
  inputAs(i: number, type: ElementType): string {
    return this.#values.converted(this.#id(i), type);
  }

  /** The graph's values for a list of tensors. */
  inputs(i: number): string[] {
    return this.#list(i).map((arg) => this.#values.value(tensorId(arg, this.operator)));
  }

  /** True unless the argument is none. */
  has(i: number): boolean {
    const arg = this.argument(i);
    return arg !== null && arg !== undefined;
  }

  argument(i: number): ProgramArgument {
    return this.#call.args[i];
  }

  /** A constant argument, with its elements; null: its elements are not known. */
  constant(i: number): Tensor | null {
    return this.#values.constant(this.#id(i));
  }

  /** The call that alone reads the result, if it is of that operator. */
  follower(operator: string): OperatorCall | undefined {
    const reader = this.#values.onlyReader(at(this.#call.results, 0));
    return reader?.operator === operator ? new OperatorCall(reader, this.#values) : undefined;
  }

  /** Notes that the call that reads the result is computed with this one. */
  foldFollower(): void {
    this.#values.fold(at(this.#call.results, 0));
  }

  /** True if the call that made argument `i` computed this one with it. */
  isFolded(i: number): boolean {
    return this.#values.isFolded(this.#id(i));
  }

  size(i: number): Size {
    const arg = this.argument(i);
    if (typeof arg === 'number' || isDynamic(arg)) return arg;
    throw unexpected(this.operator, i);
  }

  /** A number that does not depend on the inputs. */
  number(i: number): number {
    const arg = this.argument(i);
    if (typeof arg === 'number') return arg;
    throw unexpected(this.operator, i);
  }

  numbers(i: number): number[] {
    return this.#list(i).map((arg) => {
      if (typeof arg === 'number') return arg;
      throw unexpected(this.operator, i);
    });
  }

  boolean(i: number): boolean {
    return this.argument(i) === true;
  }

  /** The dimension that argument `i` names, counted from 0, of a tensor of that rank. */
  dim(i: number, rank: number): number {
    const dim = this.number(i);
    return dim < 0 ? dim + rank : dim;
  }

  /** The element type whose number is argument `i`. */
  elementType(i: number): ElementType {
    return requireElementType(dtypeOfCode(this.number(i)));
  }

  /** A vector of int64 with these sizes. */
  shape(sizes: readonly Size[]): string {
    return this.#values.sizes(sizes);
  }

  /** A value converted to an element type, or itself. */
  cast(value: string, from: ElementType, to: ElementType): string {
    return this.#values.cast(value, from, to);
  }

  /** A constant of the graph from a tensor. */
  weight(wish: string, tensor: Tensor): string {
    return this.#values.materialise(wish, tensor);
  }

  /** A name for a constant that is made of argument `i`. */
  nameOf(i: number): string {
    return this.#values.nameOf(this.#id(i));
  }

  #id(i: number): number {
    return tensorId(this.argument(i), this.operator);
  }

  #list(i: number): readonly ProgramArgument[] {
    const arg = this.argument(i);
    if (Array.isArray(arg)) return arg as readonly ProgramArgument[];
    throw unexpected(this.operator, i);
  }
}

function tensorId(arg: ProgramArgument, operator: string): number {
  if (typeof arg === 'object' && arg !== null && 'tensor' in arg) return arg.tensor;
  throw new BantamError(`${operator} was recorded without a tensor where one is needed.`);
}

function unexpected(operator: string, i: number): BantamError {
  return new BantamError(
    `Argument ${i} of ${operator} depends on the inputs in a way that has no translation to ONNX.`,
  );
}
