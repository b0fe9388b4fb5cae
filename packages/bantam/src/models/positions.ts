import { cat, dims, narrow, permute, reshape, resize, to, type Tensor } from '@bantam/torch';
import { resizeGrid } from './blocks/grid-positions.js';
import type { ModelConfig } from './config.js';
import { imageTowerKind, textTowerKind } from './towers.js';

/**
 * Weights with positions for another grid of patches or context. Those of patches are interpolated on
 * their grid (bicubic, with antialias when it shrinks), those of tokens linearly, as in OpenCLIP;
 * rows of class tokens stay.
 */
export function resizePositions(
  weights: ReadonlyMap<string, Tensor>,
  { from, to: target }: { from: ModelConfig; to: ModelConfig },
): ReadonlyMap<string, Tensor> {
  const resized = new Map(weights);
  const change = (name: string, body: (table: Tensor) => Tensor): void => {
    const table = weights.get(name);
    if (table !== undefined) resized.set(name, body(to(table, { dtype: 'float32' })));
  };
  // Between towers of different kinds nothing fits, which whoever loads the weights says.
  const { positions, type } = imageTowerKind(from.vision);
  const sameKind = imageTowerKind(target.vision).type === type;
  const grid = sameKind ? positions?.grid(target.vision) : undefined;
  if (positions !== undefined && grid !== undefined && grid !== positions.grid(from.vision)) {
    const prefix = positions.prefix(target.vision);
    change(`visual.${positions.name}`, (table) => resizeGrid(table, { prefix, grid }));
  }
  const tokens = textTowerKind(from.text).positions;
  const { contextLength } = target.text;
  if (tokens !== undefined && from.text.contextLength !== contextLength) {
    const name = from.customText ? `text.${tokens.name}` : tokens.name;
    const suffix = tokens.suffix(from.text);
    change(name, (table) => {
      const rows = table.dim(0) - suffix;
      const line = resizeList(narrow(table, 0, 0, rows), contextLength);
      return suffix === 0 ? line : cat([line, narrow(table, 0, rows, suffix)]);
    });
  }
  return resized;
}

/** [L, W] with another L. */
function resizeList(table: Tensor, length: number): Tensor {
  const [rows, width] = dims(table, 2);
  const line = resize(permute(reshape(table, [1, rows, width]), [0, 2, 1]), [length], {
    mode: 'linear',
  });
  return reshape(permute(line, [0, 2, 1]), [length, width]);
}
