/** A graph of ONNX in memory: nodes in order, and constants. */
import { at } from '@bantam/torch';
import type { ElementType } from './element-types.js';

/** An attribute of a node: a float is wrapped, as a number alone is an integer. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

/** An operator with the names of its inputs ('' for none) and outputs. */
export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A tensor of known elements. */
export interface Constant {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** The elements in row-major order, little-endian. */
  readonly bytes: Uint8Array;
}

/** An input or output; names stand for lengths that are free. */
export interface GraphPort {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
}

/** A graph in the making. */
export class Graph {
  #nodes: Node[] = [];
  readonly constants = new Map<string, Constant>();
  readonly inputs: GraphPort[] = [];
  readonly outputs: GraphPort[] = [];
  readonly #names = new Set<string>();
  readonly #shared = new Map<string, string>();

  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** Puts other nodes in place of all. Constants made before are then no longer shared. */
  replaceNodes(nodes: readonly Node[]): void {
    this.#nodes = [...nodes];
    this.#shared.clear();
  }

  /** A name of which there is no other: the wish itself, or with a number after it. */
  name(wish: string): string {
    let name = wish;
    for (let count = 1; this.#names.has(name); count++) name = `${wish}_${count}`;
    this.#names.add(name);
    return name;
  }

  /** Adds an input, and returns its name. */
  input(port: GraphPort): string {
    const name = this.name(port.name);
    this.inputs.push({ ...port, name });
    return name;
  }

  /** Makes a value an output of that name. */
  output(value: string, port: GraphPort): void {
    this.#names.add(port.name);
    this.#nodes.push({ op: 'Identity', inputs: [value], outputs: [port.name], attributes: {} });
    this.outputs.push(port);
  }

  /** Adds a node with one result, and returns the result's name. */
  add(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    return at(this.addSeveral(op, inputs, { outputs: 1, attributes }), 0);
  }

  /** {@link add} with several results. */
  addSeveral(
    op: string,
    inputs: readonly string[],
    {
      outputs: count,
      attributes = {},
    }: { outputs: number; attributes?: Readonly<Record<string, Attribute>> },
  ): string[] {
    const outputs = Array.from({ length: count }, () => this.name(op));
    this.#nodes.push({ op, inputs, outputs, attributes });
    return outputs;
  }

  /** Adds a constant, and returns its name. */
  constant(wish: string, constant: Constant): string {
    const name = this.name(wish);
    this.constants.set(name, constant);
    return name;
  }

  /** A vector of int64, one for each content. */
  integers(values: readonly number[]): string {
    const { buffer } = BigInt64Array.from(values, BigInt);
    const shape = [values.length];
    return this.#once(`i${values.join()}`, 'sizes', {
      type: 'int64',
      shape,
      bytes: new Uint8Array(buffer),
    });
  }

  /** A scalar of int64, one for each value. */
  index(value: number): string {
    const { buffer } = BigInt64Array.of(BigInt(value));
    return this.#once(`s${value}`, 'index', {
      type: 'int64',
      shape: [],
      bytes: new Uint8Array(buffer),
    });
  }

  /** A scalar of float32, one for each value. */
  number(value: number): string {
    const { buffer } = Float32Array.of(value);
    return this.#once(`f${Object.is(value, -0) ? '-0' : value}`, 'number', {
      type: 'float32',
      shape: [],
      bytes: new Uint8Array(buffer),
    });
  }

  #once(key: string, wish: string, constant: Constant): string {
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const name = this.constant(wish, constant);
    this.#shared.set(key, name);
    return name;
  }
}
