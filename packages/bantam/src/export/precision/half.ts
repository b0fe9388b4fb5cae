import { fromTypedArray, scope, to } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { elementTypeNumber } from '../onnx/element-types.js';
import type { Constant, Graph, Node } from '../onnx/graph.js';

/** Largest finite number of float16. */
const LARGEST = 65504;

/**
 * Makes a graph compute in float16: constants are rounded, inputs converted as they come. Outputs are
 * to be converted by whoever adds them.
 *
 * @throws BantamError naming a weight that float16 cannot hold.
 */
export function computeInHalf(graph: Graph): void {
  for (const [name, constant] of graph.constants) {
    if (constant.type === 'float32') graph.constants.set(name, halved(name, constant));
  }
  const renamed = new Map<string, string>();
  const casts = graph.inputs
    .filter(({ type }) => type === 'float32')
    .map(({ name }): Node => {
      const half = graph.name(`${name}_half`);
      renamed.set(name, half);
      return cast(name, half);
    });
  const nodes = graph.nodes.map((node) => inHalf(node, renamed));
  graph.replaceNodes([...casts, ...nodes]);
}

function cast(from: string, to: string): Node {
  return {
    op: 'Cast',
    inputs: [from],
    outputs: [to],
    attributes: { to: elementTypeNumber('float16') },
  };
}

/** A node on the converted inputs, which converts to float16 if it did to float32. */
function inHalf(node: Node, renamed: ReadonlyMap<string, string>): Node {
  const inputs = node.inputs.map((name) => renamed.get(name) ?? name);
  const widens = node.op === 'Cast' && node.attributes.to === elementTypeNumber('float32');
  const attributes = widens ? { to: elementTypeNumber('float16') } : node.attributes;
  return { ...node, inputs, attributes };
}

function halved(name: string, { shape, bytes }: Constant): Constant {
  const wide = floatsOf(bytes);
  if (wide.some((value) => Number.isFinite(value) && Math.abs(value) > LARGEST)) {
    throw new BantamError(
      `${name} has numbers beyond ±${LARGEST}, which fp16 cannot hold; export in fp32 or q8.`,
    );
  }
  const half = scope(() => to(fromTypedArray(wide), { dtype: 'float16' }).toTypedArray());
  return {
    type: 'float16',
    shape,
    bytes: new Uint8Array(half.buffer, half.byteOffset, half.byteLength),
  };
}

/** The elements of a constant of float32. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
