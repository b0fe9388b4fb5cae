import { at } from './at.js';

/** Arithmetic mean of values, summed in their order; NaN of none. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += at(values, i);
  return sum / values.length;
}

/** The value below which a fraction `q` of ascending values is, with linear interpolation between two. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const position = q * (sorted.length - 1);
  const low = at(sorted, Math.floor(position));
  return low + (position % 1) * (at(sorted, Math.ceil(position)) - low);
}

/** The median; of an even number of values the upper of the two in the middle, which was measured. */
export function upperMedian(values: readonly number[]): number {
  return at(
    values.toSorted((a, b) => a - b),
    values.length >> 1,
  );
}
