import { at, type Module, type Parameter } from '@bantam/torch';
import type { Clip } from '../clip.js';
import { imageTowerKind, textTowerKind } from '../towers.js';
import { decoderLayers } from '../towers/decoder/multimodal-decoder.js';

/** Depth of a parameter within its tower. */
export interface LayerDepth {
  /** 0 for the stem (embeddings and positions), i + 1 for block i, {@link last} for the head. */
  readonly depth: number;
  /** The head's depth: the tower's number of blocks, plus 1. */
  readonly last: number;
}

function towerDepths(tower: Module, blocks: RegExp): Map<Parameter, LayerDepth> {
  const named = [...tower.namedParameters()];
  const keys = named.map(([name]) => {
    const groups = blocks.exec(name)?.slice(1);
    return groups?.map((group: string | undefined) => group ?? '0').join() ?? null;
  });
  const order = [...new Set(keys.filter((key) => key !== null))];
  const head = keys.findLastIndex((key) => key !== null) + 1;
  const last = order.length + 1;
  return new Map(
    named.map(([, parameter], index) => {
      const key = at(keys, index);
      const depth = key === null ? (index < head ? 0 : last) : order.indexOf(key) + 1;
      return [parameter, { depth, last }];
    }),
  );
}

/**
 * The depth of every parameter of both towers and of the decoder by its name in the model; weights that
 * several blocks share have the first one's. Parameters of none, such as the temperature, have none.
 */
export function layerDepths(model: Clip): Map<string, LayerDepth> {
  const { vision, text } = model.config;
  const decoder = model.textDecoder;
  const depths = new Map([
    ...towerDepths(model.visual, imageTowerKind(vision).blocks),
    ...towerDepths(model.text, textTowerKind(text).blocks),
    ...(decoder === null ? [] : towerDepths(decoder, decoderLayers)),
  ]);
  return new Map(
    [...model.namedParameters()].flatMap(([name, parameter]) => {
      const depth = depths.get(parameter);
      return depth === undefined ? [] : [[name, depth] as const];
    }),
  );
}

/**
 * Layer-wise decay of the learning rate, for `parameterGroups`: decay^(last − depth) by the name of
 * a parameter, where each tower counts its own layers; the decoder too; 1 for what is in none. BEiT (Bao et
 * al. 2022) is fine-tuned so, and EVA-CLIP (Sun et al. 2023) trained.
 */
export function layerDecay(model: Clip, decay: number): (name: string) => number {
  const depths = layerDepths(model);
  return (name) => {
    const found = depths.get(name);
    return found === undefined ? 1 : decay ** (found.last - found.depth);
  };
}

/**
 * The names of the head's parameters: what follows the last block of each tower and of the decoder, which
 * are its norm and its projection, and what is in none of them, such as the temperature.
 */
export function headNames(model: Clip): string[] {
  const depths = layerDepths(model);
  return [...model.namedParameters().keys()].filter((name) => {
    const found = depths.get(name);
    return found === undefined || found.depth === found.last;
  });
}
