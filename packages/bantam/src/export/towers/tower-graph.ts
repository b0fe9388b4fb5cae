/** The towers of a model as parts of a graph. */
import { noGrad, onDevice, scope, zeros, type Module, type Tensor } from '@bantam/torch';
import { createModel, type Clip, type ModelConfig } from '../../models/index.js';
import { lower } from '../lowering/lower.js';
import type { Graph } from '../onnx/graph.js';
import { recordProgram, type Program } from '../record/program.js';
import type { Point } from '../record/sizes.js';

/** Names of the free lengths of inputs and outputs. */
export interface Lengths {
  readonly images: string;
  readonly texts: string;
}

/** The programs of both towers of a model. */
export interface TowerPrograms {
  readonly image: Program;
  readonly text: Program;
  /** The graph pads texts to the context before the tower. */
  readonly padsTexts: boolean;
}

/** Batches by which an image tower is recorded; the last one checks what the others give. */
const imagePoints: readonly Point[] = [2, 3, 5].map((batch) => ({ batch, tokens: 0 }));

/** Batches and text lengths, all below the context, at which some towers take another way. */
function textPoints(contextLength: number): readonly Point[] {
  const [a, b, c] = [contextLength - 2, contextLength - 1, contextLength - 3];
  return [
    { batch: 2, tokens: a },
    { batch: 3, tokens: a },
    { batch: 2, tokens: b },
    { batch: 3, tokens: b },
    { batch: 5, tokens: c },
  ];
}

/** Shortest context for which three text lengths can be recorded. */
const SHORTEST_CONTEXT = 5;

/**
 * Records both towers of a model of that configuration. It runs on the device `meta`: nothing is
 * computed, and the operators are the same on every machine, as kernels for one kind of CPU are not
 * chosen.
 *
 * @throws BantamError if a tower computes differently for other batches or text lengths.
 */
export function recordTowers(config: ModelConfig): TowerPrograms {
  const { vision, text } = config;
  const { contextLength } = text;
  const hasClassToken = 'embedCls' in text && text.embedCls;
  const padsTexts = hasClassToken || contextLength < SHORTEST_CONTEXT;
  return onDevice('meta', () =>
    noGrad(() => {
      using model = createModel(config, { generator: null });
      model.eval();
      const { imageSize } = vision;
      return scope(() => ({
        image: recordProgram(
          {
            weights: weightsOf(model.visual),
            input: ({ batch }) => zeros([batch, 3, imageSize, imageSize]),
            run: (pixels) => model.visual.encode(pixels).pooled,
          },
          imagePoints,
        ),
        text: recordProgram(
          {
            weights: weightsOf(model.text),
            input: ({ batch, tokens }) => zeros([batch, tokens], { dtype: 'int64' }),
            run: (ids) => model.text.encode(ids).pooled,
          },
          padsTexts
            ? imagePoints.map(({ batch }) => ({ batch, tokens: contextLength }))
            : textPoints(contextLength),
        ),
        padsTexts,
      }));
    }),
  );
}

/** Parameters and buffers by name, those that no checkpoint holds included. */
function weightsOf(module: Module): Map<string, Tensor> {
  return new Map<string, Tensor>([...module.namedParameters(), ...module.namedBuffers()]);
}

/** Adds the image tower with its input `pixel_values`, and gives the value of its features. */
export function addImageTower(
  graph: Graph,
  { image }: TowerPrograms,
  { model, lengths }: { model: Clip; lengths: Lengths },
): string {
  const { imageSize } = model.config.vision;
  const input = graph.input({
    name: 'pixel_values',
    type: 'float32',
    shape: [lengths.images, 3, imageSize, imageSize],
  });
  return lower({
    graph,
    program: image,
    weights: weightsOf(model.visual),
    input,
    prefix: 'visual.',
  });
}

/** Adds the text tower with its input `input_ids`, and gives the value of its features. */
export function addTextTower(
  graph: Graph,
  { text, padsTexts }: TowerPrograms,
  { model, lengths }: { model: Clip; lengths: Lengths },
): string {
  const input = graph.input({
    name: 'input_ids',
    type: 'int64',
    shape: [lengths.texts, 'sequence_length'],
  });
  return lower({
    graph,
    program: text,
    weights: weightsOf(model.text),
    input: padsTexts ? padToContext(graph, input, model.config) : input,
    prefix: 'text.',
  });
}

/** Token ids filled up to the context: [B, L] → [B, context]. */
function padToContext(graph: Graph, ids: string, { text }: ModelConfig): string {
  const length = graph.add('Shape', [ids], { start: 1, end: 2 });
  const missing = graph.add('Sub', [graph.integers([text.contextLength]), length]);
  const pads = graph.add('Concat', [graph.integers([0, 0, 0]), missing], { axis: 0 });
  const padId = 'padId' in text ? text.padId : 0;
  return graph.add('Pad', [ids, pads, graph.index(padId)]);
}
