import { at } from '../../base/at.js';
import type { Box, Pixels } from './pixels.js';

/** Filters of `tf.image.resize` that big_vision uses. */
export const tensorflowMethods = ['bilinear', 'area'] as const;
export type TensorflowMethod = (typeof tensorflowMethods)[number];

export interface TensorflowResize {
  readonly width: number;
  readonly height: number;
  readonly method: TensorflowMethod;
}

/** Input positions that an output position is made of, with their weights, float32. */
interface Taps {
  readonly positions: Int32Array;
  readonly weights: Float32Array;
}

const f32 = Math.fround;

/**
 * A window of an image resized as `tf.image.resize` of TensorFlow 2 does, without antialias, and cast
 * to whole levels as big_vision casts it: cut off, not rounded. All arithmetic is float32, in
 * TensorFlow's order.
 *
 * `bilinear`: with s = input/output size, output x is the mean of the two positions around
 * (x + 1/2)·s − 1/2, weighted by distance. `area`: the mean over the interval [x·s, (x+1)·s), in
 * which positions at its ends count by the part that is inside.
 */
export function tensorflowResize(
  pixels: Pixels,
  { width, height, method }: TensorflowResize,
  window: Box,
): Pixels {
  const { left, top, width: columns, height: rows } = window;
  const tapsOf = method === 'area' ? areaTaps : bilinearTaps;
  const across = tapsOf(pixels.width, width, { start: left, count: columns });
  const down = tapsOf(pixels.height, height, { start: top, count: rows });
  const xScale = f32(pixels.width / width);
  const yScale = f32(pixels.height / height);
  const norm = f32(1 / f32(yScale * xScale));
  const data = new Uint8Array(rows * columns * 3);
  for (let y = 0; y < rows; y++) {
    const row = at(down, y);
    for (let x = 0; x < columns; x++) {
      const column = at(across, x);
      for (let channel = 0; channel < 3; channel++) {
        const value =
          method === 'area'
            ? f32(areaSum(pixels, row, column, channel) * norm)
            : bilinear(pixels, row, column, channel);
        data[(y * columns + x) * 3 + channel] = Math.min(255, Math.max(0, Math.trunc(value)));
      }
    }
  }
  return { width: columns, height: rows, data };
}

interface Outputs {
  /** First output position. */
  readonly start: number;
  readonly count: number;
}

/** Two positions each, and the weight of the second. */
function bilinearTaps(input: number, output: number, { start, count }: Outputs): Taps[] {
  const scale = f32(input / output);
  return Array.from({ length: count }, (_, i) => {
    const position = f32(f32(f32(start + i + 0.5) * scale) - 0.5);
    const floor = Math.floor(position);
    const lower = Math.max(0, floor);
    const upper = Math.min(input - 1, Math.ceil(position));
    return {
      positions: Int32Array.of(lower, upper),
      weights: Float32Array.of(f32(position - floor)),
    };
  });
}

function bilinear(
  { width, data }: Pixels,
  { positions: [top = 0, bottom = 0], weights: [down = 0] }: Taps,
  { positions: [left = 0, right = 0], weights: [across = 0] }: Taps,
  channel: number,
): number {
  const level = (y: number, x: number): number => at(data, (y * width + x) * 3 + channel);
  const mix = (from: number, to: number, weight: number): number =>
    f32(from + f32(f32(to - from) * weight));
  return mix(
    mix(level(top, left), level(top, right), across),
    mix(level(bottom, left), level(bottom, right), across),
    down,
  );
}

/** All positions that an output's interval touches; those beyond the image are its last. */
function areaTaps(input: number, output: number, { start, count }: Outputs): Taps[] {
  const scale = f32(input / output);
  return Array.from({ length: count }, (_, i) => {
    const from = f32((start + i) * scale);
    const to = f32((start + i + 1) * scale);
    const first = Math.floor(from);
    const length = Math.ceil(to) - first;
    const weights = Float32Array.from({ length }, (__, k) => {
      const position = first + k;
      if (position < from) return position + 1 > to ? scale : f32(position + 1 - from);
      return position + 1 > to ? f32(to - position) : 1;
    });
    const positions = Int32Array.from({ length }, (__, k) => Math.min(input - 1, first + k));
    return { positions, weights };
  });
}

function areaSum({ width, data }: Pixels, down: Taps, across: Taps, channel: number): number {
  let sum = 0;
  down.positions.forEach((y, row) => {
    let line = 0;
    across.positions.forEach((x, column) => {
      const level = at(data, (y * width + x) * 3 + channel);
      line = f32(line + f32(level * at(across.weights, column)));
    });
    sum = f32(sum + f32(line * at(down.weights, row)));
  });
  return sum;
}
