import type { Parameter } from '@bantam/torch';
import type { Clip } from '../clip.js';
import { layerDepths } from '../surgery/layer-decay.js';
import { loraChanges } from '../surgery/lora.js';

/** Costs of a tower's training step beside its forward pass, as fractions of that. */
export interface TrainedCost {
  /** Gradients of activations: of the layers from the first one on that learns. */
  readonly activations: number;
  /** Gradients of weights. */
  readonly weights: number;
  /** Products of low-rank changes. */
  readonly changes: number;
}

/** {@link TrainedCost} of each tower and of the decoder. */
export type TrainedCosts = Readonly<Record<'image' | 'text' | 'decoder', TrainedCost>>;

/** A tower that learns as a whole. */
export const wholeTower: TrainedCost = { activations: 1, weights: 1, changes: 0 };

/** Tables, which take no products. */
const table = /(?:token|word|position|positional|type)_embedding|pos_embed/;

/**
 * The costs of training some of a model's weights. FLOPs of a layer are taken to be proportional to its
 * weights, as all tokens pass through all layers; those between tokens are counted with them.
 */
export function trainedCosts(model: Clip, learning: ReadonlySet<Parameter>): TrainedCosts {
  const names = new Map([...model.namedParameters()].map(([name, weight]) => [weight, name]));
  const depths = layerDepths(model);
  const changes = new Set(loraChanges(model).flatMap(({ a, b }) => [a, b]));
  const costOf = (tower: Clip['visual'] | Clip['text'] | Clip['textDecoder']): TrainedCost => {
    const parameters = (tower?.parameters() ?? []).map((parameter) => {
      const name = names.get(parameter) ?? '';
      return { name, parameter, depth: depths.get(name)?.depth ?? 0 };
    });
    const first = Math.min(
      ...parameters.flatMap(({ parameter, depth }) => (learning.has(parameter) ? [depth] : [])),
    );
    const products = parameters.filter(
      ({ name, parameter }) => parameter.rank >= 2 && !changes.has(name) && !table.test(name),
    );
    const total = sizeOf(products);
    if (total === 0 || !Number.isFinite(first)) return { activations: 0, weights: 0, changes: 0 };
    return {
      activations: sizeOf(products.filter(({ depth }) => depth >= first)) / total,
      weights: sizeOf(products.filter(({ parameter }) => learning.has(parameter))) / total,
      changes: sizeOf(parameters.filter(({ name }) => changes.has(name))) / total,
    };
  };
  return {
    image: costOf(model.visual),
    text: costOf(model.text),
    decoder: costOf(model.textDecoder),
  };
}

function sizeOf(parameters: readonly { readonly parameter: Parameter }[]): number {
  return parameters.reduce((sum, { parameter }) => sum + parameter.size, 0);
}
