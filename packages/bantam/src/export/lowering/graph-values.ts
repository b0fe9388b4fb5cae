import { constants } from 'node:buffer';
import { at, contiguous, fromTypedArray, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { elementTypeNumber, requireElementType, type ElementType } from '../onnx/element-types.js';
import type { Graph } from '../onnx/graph.js';
import {
  tensorsAmong,
  type Program,
  type ProgramCall,
  type ProgramTensor,
} from '../record/program.js';
import { isDynamic, sizeKey, type Polynomial, type Size } from '../record/sizes.js';

/** Options of {@link GraphValues}. */
export interface GraphValuesOptions {
  readonly graph: Graph;
  readonly program: Program;
  /** Parameters and buffers with their elements, by name. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** The graph's value for the program's input: batch first, then the text's tokens if there are any. */
  readonly input: string;
  /** Begins the names of the constants: `visual.`. */
  readonly prefix: string;
}

/** The tensors of a program as values of a graph. Constants enter the graph when they are first read. */
export class GraphValues {
  readonly graph: Graph;
  readonly #program: Program;
  readonly #input: string;
  readonly #prefix: string;
  readonly #names = new Map<number, string>();
  readonly #constants = new Map<number, Tensor>();
  readonly #constantNames = new Map<number, string>();
  readonly #readers: ProgramCall[][];
  readonly #output: number;
  readonly #folded = new Set<number>();
  readonly #sizes = new Map<string, string>();

  constructor({ graph, program, weights, input, prefix }: GraphValuesOptions) {
    this.graph = graph;
    this.#program = program;
    this.#input = input;
    this.#prefix = prefix;
    this.#names.set(program.input, input);
    for (const [id, name] of program.weights) {
      const tensor = weights.get(name);
      if (tensor === undefined) throw new RangeError(`There is no weight named ${name}.`);
      this.#constants.set(id, tensor);
      this.#constantNames.set(id, prefix + name);
    }
    for (const [id, array] of program.values) {
      const { dtype, shape } = at(program.tensors, id);
      this.#constants.set(id, fromTypedArray(array, { dtype, shape: shape.map(Number) }));
    }
    this.#readers = program.tensors.map(() => []);
    for (const call of program.calls) {
      for (const id of tensorsAmong(call.args)) at(this.#readers, id).push(call);
    }
    this.#output = program.output;
  }

  tensorOf(id: number): ProgramTensor {
    return at(this.#program.tensors, id);
  }

  /** The call that alone reads a tensor; undefined: there are several or none. */
  onlyReader(id: number): ProgramCall | undefined {
    const [first, second] = at(this.#readers, id);
    return second === undefined && id !== this.#output ? first : undefined;
  }

  /** Notes that the call that reads a tensor is done, but for what follows it. */
  fold(id: number): void {
    this.#folded.add(id);
  }

  /** True if {@link fold} noted it. */
  isFolded(id: number): boolean {
    return this.#folded.has(id);
  }

  /** A tensor whose elements are known; null: another. */
  constant(id: number): Tensor | null {
    return this.#constants.get(id) ?? null;
  }

  /** Sets the elements of a tensor, whose name in the graph follows that of the tensor it is made of. */
  setConstant(id: number, tensor: Tensor, madeOf: number | undefined): void {
    this.#constants.set(id, tensor);
    const name = madeOf === undefined ? undefined : this.#constantNames.get(madeOf);
    if (name !== undefined) this.#constantNames.set(id, name);
  }

  /** Sets the graph's value for a tensor. */
  setValue(id: number, name: string): void {
    this.#names.set(id, name);
  }

  nameOf(id: number): string {
    return this.#constantNames.get(id) ?? `${this.#prefix}constant`;
  }

  /** The graph's value for a tensor. */
  value(id: number): string {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const tensor = this.#constants.get(id);
    if (tensor === undefined) throw new RangeError(`Tensor ${id} is read before it is made.`);
    const name = this.materialise(this.nameOf(id), tensor);
    this.#names.set(id, name);
    return name;
  }

  /** {@link value} in another element type. */
  converted(id: number, type: ElementType): string {
    return this.cast(this.value(id), requireElementType(this.tensorOf(id).dtype), type);
  }

  /** A constant of the graph from a tensor. */
  materialise(wish: string, tensor: Tensor): string {
    const { buffer, byteOffset, byteLength } = contiguous(tensor).toTypedArray();
    requireOneArray(wish, byteLength);
    return this.graph.constant(wish, {
      type: requireElementType(tensor.dtype),
      shape: tensor.shape,
      bytes: new Uint8Array(buffer, byteOffset, byteLength),
    });
  }

  /** A value converted to an element type, or itself. */
  cast(value: string, from: ElementType, to: ElementType): string {
    return from === to ? value : this.graph.add('Cast', [value], { to: elementTypeNumber(to) });
  }

  /** A vector of int64 with these sizes. */
  sizes(sizes: readonly Size[]): string {
    if (!sizes.some(isDynamic)) return this.graph.integers(sizes.map(Number));
    return this.#once(sizes.map(sizeKey).join(';'), () =>
      sizes.length === 1
        ? this.#dynamic(at(sizes, 0))
        : this.graph.add(
            'Concat',
            sizes.map((size) => this.#dynamic(size)),
            { axis: 0 },
          ),
    );
  }

  /** A vector with one size. */
  #dynamic(size: Size): string {
    if (!isDynamic(size)) return this.graph.integers([size]);
    return this.#once(sizeKey(size), () => this.#polynomial(size));
  }

  #polynomial({ constant, batch, tokens, product }: Polynomial): string {
    const { graph } = this;
    const times = (value: string, weight: number) =>
      weight === 1 ? value : graph.add('Mul', [value, graph.integers([weight])]);
    const terms = [
      ...(batch === 0 ? [] : [times(this.#length(0), batch)]),
      ...(tokens === 0 ? [] : [times(this.#length(1), tokens)]),
      ...(product === 0
        ? []
        : [times(graph.add('Mul', [this.#length(0), this.#length(1)]), product)]),
      ...(constant === 0 ? [] : [graph.integers([constant])]),
    ];
    return terms.reduce((sum, term) => graph.add('Add', [sum, term]));
  }

  /** A vector with the length of the input's dimension. */
  #length(dim: 0 | 1): string {
    return this.#once(`length ${dim}`, () =>
      this.graph.add('Shape', [this.#input], { start: dim, end: dim + 1 }),
    );
  }

  #once(key: string, make: () => string): string {
    const known = this.#sizes.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.#sizes.set(key, name);
    return name;
  }
}

/**
 * @throws BantamError for a tensor of more bytes than an array of this Node holds: 4 GiB before Node 22.3, as
 * much as anybody has since.
 */
export function requireOneArray(
  name: string,
  bytes: number,
  most: number = constants.MAX_LENGTH,
): void {
  if (bytes <= most) return;
  const size = (count: number): string => `${(count / 1e9).toFixed(1)} GB`;
  throw new BantamError(
    `${name} has ${size(bytes)}, and an array of Node.js ${process.version} holds ${size(most)}; export with Node.js 22.3 or newer.`,
  );
}
