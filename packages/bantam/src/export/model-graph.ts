import { elementTypeNumber } from './onnx/element-types.js';
import { Graph } from './onnx/graph.js';
import { computeInHalf } from './precision/half.js';
import { quantize } from './precision/quantize.js';
import type { Clip } from '../models/index.js';
import { addImageTower, addTextTower, type TowerPrograms } from './towers/tower-graph.js';

/** Parts of a model that become a graph each. */
export const graphParts = ['image', 'text', 'both'] as const;

/** An image tower, a text tower, or both with their logits. */
export type GraphPart = (typeof graphParts)[number];

/** Number formats of exported graphs. */
export const exportPrecisions = ['fp32', 'fp16', 'q8'] as const;

/** `fp32`; `fp16`, with inputs and outputs in float32; `q8`, see {@link quantize}. */
export type ExportPrecision = (typeof exportPrecisions)[number];

/** Options of {@link modelGraph}. */
export interface ModelGraphOptions {
  readonly programs: TowerPrograms;
  readonly part: GraphPart;
  readonly precision: ExportPrecision;
}

/**
 * The graph of a part of a model.
 *
 * - `image`: `pixel_values` [B, 3, S, S] → `image_embeds` [B, D]
 * - `text`: `input_ids` int64 [B, L] → `text_embeds` [B, D]
 * - `both`: both inputs → `logits_per_image` [I, T] = s·x·yᵀ + b with its transpose `logits_per_text`,
 *   and the features x and y, of length 1
 *
 * Features of a tower alone are not normalised. A model that compares by the sigmoid loss calls the
 * output of a tower `pooler_output` as well, as SigLIP's classes in transformers.js expect.
 */
export function modelGraph(model: Clip, options: ModelGraphOptions): Graph {
  const { programs, part, precision } = options;
  const graph = new Graph();
  const one = part !== 'both';
  const lengths = {
    images: one ? 'batch_size' : 'image_batch_size',
    texts: one ? 'batch_size' : 'text_batch_size',
  };
  const towers = { model, lengths };
  const raw = {
    ...(part !== 'text' && { image: addImageTower(graph, programs, towers) }),
    ...(part !== 'image' && { text: addTextTower(graph, programs, towers) }),
  };
  const features = inPrecision(graph, raw, precision);
  const { embedDim, initLogitBias } = model.config;
  const add = (name: string, value: string, length: string) => {
    graph.output(value, { name, type: 'float32', shape: [length, embedDim] });
  };
  const { image, text } = features;
  if (image !== undefined && text !== undefined) {
    addLogits(graph, model, { image, text, lengths });
  } else {
    const [name, value] = image === undefined ? ['text_embeds', text] : ['image_embeds', image];
    if (value === undefined) return graph;
    add(name, value, 'batch_size');
    if (initLogitBias !== null) add('pooler_output', value, 'batch_size');
  }
  return graph;
}

interface Features {
  readonly image?: string;
  readonly text?: string;
}

/** Features in float32 of towers that compute in the precision. */
function inPrecision(graph: Graph, features: Features, precision: ExportPrecision): Features {
  const { image, text } = features;
  if (precision === 'q8')
    quantize(
      graph,
      [image, text].filter((value) => value !== undefined),
    );
  if (precision !== 'fp16') return features;
  computeInHalf(graph);
  const widen = (value: string) => graph.add('Cast', [value], { to: elementTypeNumber('float32') });
  return {
    ...(image !== undefined && { image: widen(image) }),
    ...(text !== undefined && { text: widen(text) }),
  };
}

function addLogits(
  graph: Graph,
  { logitScale, logitBias, config }: Clip,
  {
    image,
    text,
    lengths: { images, texts },
  }: { image: string; text: string; lengths: { images: string; texts: string } },
): void {
  const { embedDim } = config;
  const [x, y] = [normalized(graph, image), normalized(graph, text)];
  const cosines = graph.add('MatMul', [x, graph.add('Transpose', [y], { perm: [1, 0] })]);
  const scaled = graph.add('Mul', [cosines, graph.number(Math.exp(logitScale.item()))]);
  const logits =
    logitBias === null ? scaled : graph.add('Add', [scaled, graph.number(logitBias.item())]);
  const turned = graph.add('Transpose', [logits], { perm: [1, 0] });
  const type = 'float32';
  graph.output(logits, { name: 'logits_per_image', type, shape: [images, texts] });
  graph.output(turned, { name: 'logits_per_text', type, shape: [texts, images] });
  graph.output(y, { name: 'text_embeds', type, shape: [texts, embedDim] });
  graph.output(x, { name: 'image_embeds', type, shape: [images, embedDim] });
}

/** x/max(‖x‖₂, 1e-12) along the last dimension */
function normalized(graph: Graph, x: string): string {
  const length = graph.add('ReduceL2', [x, graph.integers([-1])], { keepdims: 1 });
  return graph.add('Div', [x, graph.add('Max', [length, graph.number(1e-12)])]);
}
