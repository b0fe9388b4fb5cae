/** A number in about four characters: `950`, `12.3k`, `5.4M`, `5e-4`. */
export function compact(value: number): string {
  const size = Math.abs(value);
  for (const [unit, name] of units) {
    if (size >= unit) return `${trim(value / unit, size / unit < 100 ? 1 : 0)}${name}`;
  }
  if (size !== 0 && size < 0.01) return value.toExponential(1).replace('.0e', 'e');
  return trim(value, size < 1 ? 4 : 2);
}

const units = [
  [1e9, 'B'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const;

function trim(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

/** A fraction in percent, without zeros at its end: `12.5 %`. */
export function percent(fraction: number, decimals = 2): string {
  return `${trim(100 * fraction, decimals)} %`;
}

/** Width of a text of a chart in user units, for a letter a little more than the mean. */
export function textWidth(text: string): number {
  return 6.2 * text.length;
}

/** `45 s`, `5 min 12 s`, `3 h 20 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return joined(`${minutes} min`, whole % 60, 's');
  return joined(`${Math.floor(minutes / 60)} h`, minutes % 60, 'min');
}

function joined(head: string, rest: number, unit: string): string {
  return rest === 0 ? head : `${head} ${rest} ${unit}`;
}

/** A closed range of numbers. */
export type Extent = readonly [low: number, high: number];

/** Round numbers within a range, about `count` of them: multiples of 1, 2, 2.5 or 5 · 10ⁿ. */
export function ticks([low, high]: Extent, count: number): number[] {
  const rough = (high - low) / count;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((multiple) => multiple * power >= rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) =>
    Number(((first + at) * step).toPrecision(12)),
  );
}

/** Smallest range that holds the values without a fraction `outliers` of them at either end. */
export function extentOf(values: readonly number[], outliers = 0): Extent | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const skip = Math.floor(sorted.length * outliers);
  const low = sorted[skip];
  const high = sorted[sorted.length - 1 - skip];
  return low === undefined || high === undefined ? undefined : [low, high];
}

/** A range that is a bit larger on both sides, and never empty. */
export function padded([low, high]: Extent, fraction: number): Extent {
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * fraction;
  return [low - room, high + room];
}

/** The smallest range that holds all ranges. */
export function union(...extents: readonly Extent[]): Extent {
  return [Math.min(...extents.map(([low]) => low)), Math.max(...extents.map(([, high]) => high))];
}

/** The linear map that takes the ends of a range to `from` and `to`. */
export function project([low, high]: Extent, from: number, to: number): (value: number) => number {
  const length = high - low || 1;
  return (value) => from + ((value - low) / length) * (to - from);
}

/** A coordinate of an SVG, to a tenth of a user unit. */
export function coordinate(value: number): string {
  return String(Number(value.toFixed(1)));
}
