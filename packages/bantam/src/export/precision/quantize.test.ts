import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Graph, type Constant } from '../onnx/graph.js';
import { quantize } from './quantize.js';

function floats(values: readonly number[], shape: readonly number[]): Constant {
  return { type: 'float32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

/** pixels → patches → block → projection, the names of the weights as given. */
function towerGraph(block: string): { graph: Graph; output: string } {
  const graph = new Graph();
  const x = graph.input({ name: 'pixel_values', type: 'float32', shape: ['batch', 2] });
  const square = (name: string, values: readonly number[]) =>
    graph.constant(name, floats(values, [2, 2]));
  const patches = graph.add('MatMul', [x, square('patch.weight', [1, 2, 3, 4])]);
  const hidden = graph.add('MatMul', [patches, square(block, [1, -0.5, 0.5, 0.25])]);
  const again = graph.add('MatMul', [patches, square('other.weight', [0, 0, 0, 0])]);
  const sum = graph.add('Add', [hidden, again]);
  const product = graph.add('MatMul', [sum, square('proj.weight', [1, 0, 0, 1])]);
  return { graph, output: graph.add('Add', [product, graph.constant('b', floats([1, 1], [2]))]) };
}

const operators = ({ nodes }: Graph) => nodes.map(({ op }) => op);

function elements(graph: Graph, name: string): number[] {
  const { type, bytes } = graph.constants.get(name) ?? assert.fail(name);
  const { buffer } = bytes.slice();
  return Array.from(type === 'int8' ? new Int8Array(buffer) : new Float32Array(buffer));
}

describe('quantize', () => {
  it('multiplies integers of 7 bits by column, with one quantization of each input', () => {
    const { graph, output } = towerGraph('block.weight');
    quantize(graph, [output]);
    assert.deepEqual(elements(graph, 'block.weight_int8'), [64, -64, 32, 32]);
    assert.deepEqual(elements(graph, 'block.weight_scale'), [1 / 64, 0.5 / 64]);
    assert.deepEqual(elements(graph, 'other.weight_scale'), [1, 1]);
    assert.equal(graph.constants.has('block.weight'), false);
    const found = operators(graph);
    assert.equal(found.filter((op) => op === 'MatMulInteger').length, 2);
    assert.equal(found.filter((op) => op === 'DynamicQuantizeLinear').length, 1);
  });

  it('keeps the patch embedding and the last projection', () => {
    const { graph, output } = towerGraph('block.weight');
    quantize(graph, [output]);
    assert.deepEqual(elements(graph, 'patch.weight'), [1, 2, 3, 4]);
    assert.deepEqual(elements(graph, 'proj.weight'), [1, 0, 0, 1]);
  });

  it('stores weights of models with a router, and computes in float32', () => {
    const { graph, output } = towerGraph('router.weight');
    quantize(graph, [output]);
    assert.equal(operators(graph).includes('MatMulInteger'), false);
    assert.deepEqual(elements(graph, 'router.weight'), [1, -0.5, 0.5, 0.25]);
    assert.deepEqual(elements(graph, 'other.weight_int8'), [0, 0, 0, 0]);
  });

  it('stores large tables by row and convolutions by output, 8 bits both', () => {
    const graph = new Graph();
    const ids = graph.input({ name: 'input_ids', type: 'int64', shape: ['batch'] });
    const pixels = graph.input({ name: 'pixel_values', type: 'float32', shape: [1, 1, 1, 1] });
    const rows = Array.from({ length: 256 }, (_, i) => [i, -i / 2]).flat();
    const taken = graph.add('Gather', [graph.constant('table', floats(rows, [256, 2])), ids], {
      axis: 0,
    });
    const kernel = (name: string) => graph.constant(name, floats([2], [1, 1, 1, 1]));
    const first = graph.add('Conv', [pixels, kernel('stem')], { group: 1 });
    const second = graph.add('Conv', [first, kernel('conv')], { group: 1 });
    quantize(graph, [taken, second]);
    assert.deepEqual(elements(graph, 'table_int8').slice(-2), [127, -64]);
    assert.deepEqual(elements(graph, 'table_int8').slice(0, 2), [0, 0]);
    assert.deepEqual(elements(graph, 'stem'), [2]);
    assert.deepEqual(elements(graph, 'conv_int8'), [127]);
    assert.deepEqual(graph.constants.get('conv_scale')?.shape, [1, 1, 1, 1]);
  });
});
