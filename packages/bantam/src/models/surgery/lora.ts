import {
  add,
  at,
  Linear,
  LowRank,
  lowRankProduct,
  matchNames,
  MultiheadAttention,
  nameMatcher,
  type Generator,
  type Parameter,
  type Tensor,
} from '@bantam/torch';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError } from '../../base/errors.js';
import { CrossAttention } from '../blocks/cross-attention.js';
import type { Clip } from '../clip.js';

/** Settings of low-rank adaptation. */
export interface LoraSettings {
  /** r: rank of the changes. */
  readonly rank: number;
  /** α: a change is scaled by α/r, or by α/√r with {@link rankStabilized}. */
  readonly alpha: number;
  /** Scale by α/√r (Kalajdzievski 2023, rsLoRA). */
  readonly rankStabilized: boolean;
  /** Fraction of a change's inputs that training drops. */
  readonly dropout: number;
  /** Patterns of the names of the layers to change. */
  readonly targets: readonly string[];
}

/** A layer that can have a low-rank change. */
export type AdaptableLayer = Linear | MultiheadAttention;

/**
 * The layers that can have a low-rank change, by the name that their parameters begin with: linear
 * layers, and attentions, whose two products change together, as in PEFT. Convolutions, embeddings,
 * and projections that are a bare matrix (`visual.proj`, `text_projection`) cannot.
 */
export function adaptableLayers(model: Clip): Map<string, AdaptableLayer> {
  const names = new Map([...model.namedParameters()].map(([name, weight]) => [weight, name]));
  const modules = [...model.namedModules().values()];
  // PEFT has no place for the last product of an attention alone.
  const outer = new Set(
    modules.flatMap((module) =>
      module instanceof MultiheadAttention || module instanceof CrossAttention
        ? [module.outProj]
        : [],
    ),
  );
  const layers = new Map<string, AdaptableLayer>();
  for (const module of modules) {
    if (module instanceof Linear && outer.has(module)) continue;
    if (!(module instanceof Linear || module instanceof MultiheadAttention)) continue;
    const name = names.get(weightOf(module));
    if (name !== undefined) layers.set(name.replace(/\.(?:in_proj_)?weight$/, ''), module);
  }
  return layers;
}

function weightOf(layer: AdaptableLayer): Parameter {
  return layer instanceof Linear ? layer.weight : layer.inProjWeight;
}

/** Random streams of {@link addLora}. */
export interface LoraStreams {
  /** Initialises the changes; null leaves them zero, to be loaded. */
  readonly init: Generator | null;
  /** Samples the dropout in training. */
  readonly dropout: Generator;
}

/**
 * Low-rank adaptation (LoRA, Hu et al. 2021, arXiv 2106.09685): freezes the whole model, and gives the
 * layers that match `targets` a change s·B·A of their weight that trains, see {@link LowRank}. Layers
 * that are frozen before have none.
 *
 * @returns The names of the layers.
 * @throws BantamError if a pattern matches no layer, or all that match are frozen.
 */
export function addLora(model: Clip, settings: LoraSettings, streams: LoraStreams): string[] {
  const layers = adaptableLayers(model);
  const chosen = matchTargets(settings.targets, [...layers.keys()]);
  const open = [...layers].filter(
    ([name, layer]) => chosen.has(name) && weightOf(layer).requiresGrad,
  );
  if (open.length === 0) {
    throw new BantamError(
      'All layers that "targets" of LoRA names are frozen; name others, or leave out what freezes them.',
    );
  }
  model.freeze(['*']);
  const { rank, alpha, dropout: rate } = settings;
  const scale = alpha / (settings.rankStabilized ? Math.sqrt(rank) : rank);
  const change = (weight: Parameter): LowRank =>
    new LowRank({
      inFeatures: weight.dim(1),
      outFeatures: weight.dim(0),
      rank,
      scale,
      dropout: { rate, generator: streams.dropout },
      generator: streams.init,
    });
  for (const [, layer] of open) {
    layer.lora = change(weightOf(layer));
    if (layer instanceof MultiheadAttention) layer.outProj.lora = change(layer.outProj.weight);
  }
  model.train();
  return open.map(([name]) => name);
}

function matchTargets(targets: readonly string[], names: readonly string[]): ReadonlySet<string> {
  for (const target of targets) {
    if (names.some(nameMatcher(target))) continue;
    throw new BantamError(
      `"${target}" of "targets" of LoRA matches none of the model's ${names.length} linear layers and attentions${didYouMean(target, names)}; name one such as "${at(names, 0)}", or "*" for all.`,
    );
  }
  return matchNames(targets, names);
}

/** A low-rank change with the names of its tensors in the model's state dict. */
export interface NamedChange {
  /** The weight that it changes. */
  readonly weight: string;
  readonly a: string;
  readonly b: string;
  readonly scale: number;
}

/** The low-rank changes of a model. */
export function loraChanges(model: Clip): NamedChange[] {
  const names = new Map([...model.stateDict()].map(([name, tensor]) => [tensor, name]));
  const nameOf = (tensor: Tensor): string => {
    const name = names.get(tensor);
    if (name === undefined) throw new RangeError('A weight of the model has no name.');
    return name;
  };
  const changed = (weight: Parameter, lora: LowRank | null): NamedChange[] =>
    lora === null
      ? []
      : [{ weight: nameOf(weight), a: nameOf(lora.a), b: nameOf(lora.b), scale: lora.scale }];
  const unique = new Set(model.namedModules().values());
  return [...unique].flatMap((module) => {
    if (module instanceof Linear) return changed(module.weight, module.lora);
    if (module instanceof MultiheadAttention) return changed(module.inProjWeight, module.lora);
    return [];
  });
}

/**
 * The weights of a model with its low-rank changes merged in, W + s·B·A, under the names of a model
 * without any. What is new belongs to the scope around.
 *
 * @param state - Tensors under the model's names, such as a moving average; default: its own
 */
export function mergedWeights(
  model: Clip,
  state: ReadonlyMap<string, Tensor> = model.stateDict(),
): Map<string, Tensor> {
  const merged = new Map(state);
  for (const { weight, a, b, scale } of loraChanges(model)) {
    const [own, left, right] = [weight, b, a].map((name) => state.get(name));
    if (own === undefined || left === undefined || right === undefined) continue;
    merged.set(weight, add(own, lowRankProduct(left, right, scale)));
    merged.delete(a);
    merged.delete(b);
  }
  return merged;
}
