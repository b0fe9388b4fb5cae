/**
 * Dynamic quantization to 8 bits, as ONNX Runtime's `quantize_dynamic` writes it: weights int8 with a
 * scale for each output, activations uint8 with a scale and a zero point for each tensor as it comes.
 */
import { at } from '@bantam/torch';
import { elementTypeNumber } from '../onnx/element-types.js';
import type { Constant, Graph, Node } from '../onnx/graph.js';
import { floatsOf } from './half.js';

/**
 * Largest integer of a weight in a product of uint8 with int8. CPUs with AVX2 or AVX-512 without VNNI
 * add pairs of such products in 16 bits, which 2·255·127 would overflow: with 7 bits every machine
 * computes the same.
 */
const PRODUCT_RANGE = 64;

/** Largest integer of weights that are only stored in 8 bits. */
const STORED_RANGE = 127;

/** Tables with fewer rows than this stay float32. */
const SMALLEST_TABLE = 256;

/** Products of these weights decide about others, and stay float32. */
const sensitive = /(?:^|\.)router\.weight$/;

/**
 * Quantizes a graph of towers in place:
 * - matrix products with a weight, except the first product or convolution of pixels, the last
 *   product of each tower (its projection) and routers;
 * - embedding tables and weights of convolutions that join channels: stored in int8, computed with
 *   in float32. So are products with a matrix for each head, and all of a model with mixtures of
 *   experts: rounded activations would send tokens to other experts.
 *
 * @param outputs The towers' features in the graph.
 */
export function quantize(graph: Graph, outputs: readonly string[]): void {
  const kept = new Set([
    firstProduct(graph),
    ...outputs.map((output) => lastProduct(graph, output)),
  ]);
  const quantized = new Map<string, Quantized>();
  const routes = [...graph.constants.keys()].some((name) => sensitive.test(name));
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (kept.has(node)) return [node];
    const [, second = ''] = node.inputs;
    switch (node.op) {
      case 'MatMul':
        if (!isWeight(graph, second)) return [node];
        return routes || rankOf(graph, second) > 2
          ? storedWeight(graph, node, 'last')
          : integerProduct(graph, node, quantized);
      case 'Gather':
        return isTable(graph, node) ? gatherRows(graph, node) : [node];
      case 'Conv':
        return node.attributes.group === 1 ? storedWeight(graph, node, 'first') : [node];
      default:
        return [node];
    }
  });
  graph.replaceNodes(nodes);
}

/** The first product or convolution that reads pixels: the patch embedding. */
function firstProduct(graph: Graph): Node | undefined {
  const pixels = graph.inputs.filter(({ type }) => type === 'float32').map(({ name }) => name);
  const reached = new Set(pixels);
  return graph.nodes.find((node) => {
    if (!node.inputs.some((name) => reached.has(name))) return false;
    for (const name of node.outputs) reached.add(name);
    return node.op === 'Conv' || node.op === 'MatMul';
  });
}

/** The last product with a weight before an output, if nothing but a bias follows it. */
function lastProduct({ nodes, constants }: Graph, output: string): Node | undefined {
  const maker = nodes.find(({ outputs }) => outputs.includes(output));
  if (maker === undefined) return undefined;
  if (maker.op === 'MatMul') return maker;
  const [first = '', second = ''] = maker.inputs;
  if (maker.op !== 'Add' || !constants.has(second)) return undefined;
  return nodes.find(({ op, outputs }) => op === 'MatMul' && outputs.includes(first));
}

function isWeight({ constants }: Graph, name: string): boolean {
  const weight = constants.get(name);
  return weight?.type === 'float32' && weight.shape.length >= 2 && !sensitive.test(name);
}

function rankOf({ constants }: Graph, name: string): number {
  return constants.get(name)?.shape.length ?? 0;
}

function isTable({ constants }: Graph, { inputs, attributes }: Node): boolean {
  const table = constants.get(at(inputs, 0));
  const isMatrix = table?.type === 'float32' && table.shape.length === 2;
  return isMatrix && attributes.axis === 0 && at(table.shape, 0) >= SMALLEST_TABLE;
}

/** A tensor in uint8, its scale and zero point. */
interface Quantized {
  readonly values: string;
  readonly scale: string;
  readonly zero: string;
}

/** s_x·s_w·(q_x − z_x)·q_w */
function integerProduct(graph: Graph, node: Node, quantized: Map<string, Quantized>): Node[] {
  const [x, weight] = [at(node.inputs, 0), at(node.inputs, 1)];
  const matrix = take(graph, weight);
  const { values, scale } = byColumn(matrix, PRODUCT_RANGE);
  const q = graph.constant(`${weight}_int8`, { type: 'int8', shape: matrix.shape, bytes: values });
  const s = graph.constant(`${weight}_scale`, scale);
  const nodes: Node[] = [];
  const input = quantized.get(x) ?? quantizeInput(graph, x, nodes);
  quantized.set(x, input);
  const [sums, wide, scales] = [graph.name('sums'), graph.name('sums'), graph.name('scale')];
  return [
    ...nodes,
    simple('MatMulInteger', [input.values, q, input.zero], sums),
    { ...simple('Cast', [sums], wide), attributes: { to: elementTypeNumber('float32') } },
    simple('Mul', [input.scale, s], scales),
    simple('Mul', [wide, scales], at(node.outputs, 0)),
  ];
}

function quantizeInput(graph: Graph, x: string, nodes: Node[]): Quantized {
  const made = {
    values: graph.name('uint8'),
    scale: graph.name('uint8_scale'),
    zero: graph.name('uint8_zero'),
  };
  nodes.push({
    op: 'DynamicQuantizeLinear',
    inputs: [x],
    outputs: [made.values, made.scale, made.zero],
    attributes: {},
  });
  return made;
}

/** Rows of a table in int8, times the scale of each. */
function gatherRows(graph: Graph, node: Node): Node[] {
  const [table, ids] = [at(node.inputs, 0), at(node.inputs, 1)];
  const matrix = take(graph, table);
  const { values, scale } = byRow(matrix, STORED_RANGE);
  const q = graph.constant(`${table}_int8`, { type: 'int8', shape: matrix.shape, bytes: values });
  const rows = at(matrix.shape, 0);
  const s = graph.constant(`${table}_scale`, { ...scale, shape: [rows, 1] });
  const [taken, wide, scales] = [graph.name('rows'), graph.name('rows'), graph.name('scale')];
  const attributes = { axis: 0 };
  return [
    { ...simple('Gather', [q, ids], taken), attributes },
    { ...simple('Cast', [taken], wide), attributes: { to: elementTypeNumber('float32') } },
    { ...simple('Gather', [s, ids], scales), attributes },
    simple('Mul', [wide, scales], at(node.outputs, 0)),
  ];
}

/**
 * A node whose weight runtimes make from int8 when they load it. Outputs are the weight's first
 * dimension, as of a convolution, or its last one, as of a matrix.
 */
function storedWeight(graph: Graph, node: Node, outputs: 'first' | 'last'): Node[] {
  const [x, weight, ...bias] = node.inputs;
  if (x === undefined || weight === undefined || !graph.constants.has(weight)) return [node];
  const given = take(graph, weight);
  const { values, scale } = (outputs === 'first' ? byRow : byColumn)(given, STORED_RANGE);
  const q = graph.constant(`${weight}_int8`, { type: 'int8', shape: given.shape, bytes: values });
  const axis = outputs === 'first' ? 0 : given.shape.length - 1;
  const shape = given.shape.map((length, dim) => (dim === axis ? length : 1));
  const s = graph.constant(`${weight}_scale`, { ...scale, shape });
  const [wide, restored] = [graph.name('weight'), graph.name('weight')];
  return [
    { ...simple('Cast', [q], wide), attributes: { to: elementTypeNumber('float32') } },
    simple('Mul', [wide, s], restored),
    { ...node, inputs: [x, restored, ...bias] },
  ];
}

function simple(op: string, inputs: readonly string[], output: string): Node {
  return { op, inputs, outputs: [output], attributes: {} };
}

/** Removes a constant that nothing else reads, and gives it. */
function take(graph: Graph, name: string): Constant {
  const constant = graph.constants.get(name);
  if (constant === undefined) throw new RangeError(`There is no constant ${name}.`);
  const readers = graph.nodes.filter(({ inputs }) => inputs.includes(name));
  if (readers.length === 1) graph.constants.delete(name);
  return constant;
}

interface Integers {
  /** int8 */
  readonly values: Uint8Array;
  /** float32, a number for each row or column */
  readonly scale: Constant;
}

/** W ≈ scale·q, a scale for each row: the first dimension of any tensor. */
function byRow({ shape, bytes }: Constant, range: number): Integers {
  const rows = at(shape, 0);
  const values = floatsOf(bytes);
  const length = values.length / rows;
  return toIntegers(values, range, { channels: rows, channelOf: (i) => Math.floor(i / length) });
}

/** W ≈ q·scale, a scale for each column of a matrix: the last dimension of any tensor. */
function byColumn({ shape, bytes }: Constant, range: number): Integers {
  const columns = at(shape, -1);
  return toIntegers(floatsOf(bytes), range, {
    channels: columns,
    channelOf: (i) => i % columns,
  });
}

/** q = round(w/s) with s = max|w|/range of the channel; a channel of zeros has the scale 1. */
function toIntegers(
  values: Float32Array,
  range: number,
  { channels, channelOf }: { channels: number; channelOf: (i: number) => number },
): Integers {
  const scale = new Float32Array(channels);
  values.forEach((value, i) => {
    const channel = channelOf(i);
    scale[channel] = Math.max(at(scale, channel), Math.abs(value));
  });
  scale.forEach((most, channel) => {
    scale[channel] = most === 0 ? 1 : most / range;
  });
  const integers = new Int8Array(values.length);
  values.forEach((value, i) => {
    integers[i] = Math.round(value / at(scale, channelOf(i)));
  });
  return {
    values: new Uint8Array(integers.buffer),
    scale: { type: 'float32', shape: [channels], bytes: new Uint8Array(scale.buffer) },
  };
}
