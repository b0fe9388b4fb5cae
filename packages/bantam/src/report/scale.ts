/** A closed range of numbers. */
export type Extent = readonly [low: number, high: number];

/** Round numbers within a range, about `count` of them: multiples of 1, 2, 2.5 or 5 · 10ⁿ. */
export function ticks([low, high]: Extent, count: number): number[] {
  const rough = (high - low) / count;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) =>
    Number(((first + at) * step).toPrecision(12)),
  );
}

/** Smallest range that holds the values but for a share of `outliers` at either end. */
export function extentOf(values: readonly number[], outliers = 0): Extent | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const skip = Math.floor(sorted.length * outliers);
  const low = sorted[skip];
  const high = sorted[sorted.length - 1 - skip];
  return low === undefined || high === undefined ? undefined : [low, high];
}

/** A range that is a bit larger on both sides, and never empty. */
export function padded([low, high]: Extent, share: number): Extent {
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * share;
  return [low - room, high + room];
}

/** The smallest range that holds all ranges. */
export function union(...extents: readonly Extent[]): Extent {
  return [Math.min(...extents.map(([low]) => low)), Math.max(...extents.map(([, high]) => high))];
}
