import { cat, narrow, permute, reshape, resize, to, type Tensor } from '@bantam/torch';
import type { ModelConfig } from './config.js';
import { imageTowerKind, textTowerKind } from './towers.js';

/**
 * Weights with positions for another image size or context. Those of patches are interpolated on
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
  const { positions } = imageTowerKind(from.vision);
  if (positions !== undefined && from.vision.imageSize !== target.vision.imageSize) {
    const grid = positions.grid(target.vision);
    change(`visual.${positions.name}`, (table) => resizeGrid(table, positions.prefix, grid));
  }
  const tokens = textTowerKind(from.text).positions;
  const { contextLength } = target.text;
  if (tokens !== undefined && from.text.contextLength !== contextLength) {
    const name = from.customText ? `text.${tokens.name}` : tokens.name;
    change(name, (table) => resizeList(table, contextLength));
  }
  return resized;
}

/** [P + G², W] or [1, P + G², W] with another G. */
function resizeGrid(table: Tensor, prefix: number, grid: number): Tensor {
  const [rows, width] = table.shape.slice(-2) as [number, number];
  const flat = reshape(table, [rows, width]);
  const old = Math.round(Math.sqrt(rows - prefix));
  const square = reshape(narrow(flat, 0, prefix, old ** 2), [1, old, old, width]);
  const image = resize(permute(square, [0, 3, 1, 2]), [grid, grid], { mode: 'bicubic' });
  const list = reshape(permute(image, [0, 2, 3, 1]), [grid ** 2, width]);
  const whole = prefix === 0 ? list : cat([narrow(flat, 0, 0, prefix), list]);
  return reshape(whole, [...table.shape.slice(0, -2), prefix + grid ** 2, width]);
}

/** [L, W] with another L. */
function resizeList(table: Tensor, length: number): Tensor {
  const [rows, width] = table.shape as [number, number];
  const line = resize(permute(reshape(table, [1, rows, width]), [0, 2, 1]), [length], {
    mode: 'linear',
  });
  return reshape(permute(line, [0, 2, 1]), [length, width]);
}
