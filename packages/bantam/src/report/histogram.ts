import { markup, type Content, type Markup } from './markup.js';
import { compact, coordinate, extentOf, ticks } from './numbers.js';

/** A marked value of a {@link histogram}. */
export interface HistogramMark {
  readonly name: string;
  readonly value: number;
}

export interface HistogramOptions {
  /** Description of the chart for screen readers. */
  readonly title: string;
  readonly values: ArrayLike<number>;
  readonly xName: string;
  /** Values to mark, such as thresholds. */
  readonly marks?: readonly HistogramMark[];
  /** Most bars; whole numbers get one each if they fit. */
  readonly bars?: number;
}

const width = 720;
const height = 240;
const margin = { top: 26, right: 14, bottom: 42, left: 54 };
const inner = {
  width: width - margin.left - margin.right,
  height: height - margin.top - margin.bottom,
};

/** Bins of equal width: their counts, and the range that they cover. */
export interface Bins {
  readonly counts: readonly number[];
  readonly low: number;
  readonly high: number;
}

/** Counts finite values in bins of equal width; of few whole numbers in one bin each. */
export function binsOf(values: ArrayLike<number>, most: number): Bins {
  const finite = Array.from(values).filter(Number.isFinite);
  const [least, greatest] = extentOf(finite) ?? [0, 1];
  const isWhole = finite.every(Number.isInteger) && greatest - least < most;
  const low = isWhole ? least - 0.5 : least;
  const high = isWhole ? greatest + 0.5 : greatest === least ? least + 1 : greatest;
  const count = isWhole ? greatest - least + 1 : most;
  const counts = new Array<number>(count).fill(0);
  for (const value of finite) {
    const bin = Math.min(count - 1, Math.floor(((value - low) / (high - low)) * count));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return { counts, low, high };
}

/** A histogram as SVG, with marked values. */
export function histogram(options: HistogramOptions): Markup {
  const { title, values, xName, marks = [], bars = 60 } = options;
  const { counts, low, high } = binsOf(values, bars);
  const greatest = Math.max(1, ...counts);
  const toX = (value: number): string => coordinate(((value - low) / (high - low)) * inner.width);
  const toY = (count: number): string => coordinate(inner.height * (1 - count / greatest));
  const barWidth = inner.width / counts.length;
  const rows = ticks([0, greatest], 4).map(
    (value) => markup`
      <line class="grid" x2="${inner.width}" y1="${toY(value)}" y2="${toY(value)}"/>
      <text class="end" x="-8" y="${toY(value)}" dy=".35em">${compact(value)}</text>`,
  );
  const notches = ticks([low, high], 7).map(
    (value) => markup`
      <line class="axis" x1="${toX(value)}" x2="${toX(value)}" y1="${inner.height}" y2="${inner.height + 5}"/>
      <text class="middle" x="${toX(value)}" y="${inner.height + 19}">${compact(value)}</text>`,
  );
  const columns = counts.map(
    (count, i) =>
      markup`<rect class="bar-fill" x="${coordinate(i * barWidth)}" width="${coordinate(Math.max(1, barWidth - 1))}" y="${toY(count)}" height="${coordinate((inner.height * count) / greatest)}"/>`,
  );
  const lines: Content = marks.map(
    ({ name, value }) => markup`
      <line class="reference" x1="${toX(value)}" x2="${toX(value)}" y2="${inner.height}"/>
      <text class="middle" x="${toX(value)}" y="-8">${name}</text>`,
  );
  return markup`
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
  <g transform="translate(${margin.left} ${margin.top})">
    ${rows}${columns}${notches}
    <line class="axis" x2="${inner.width}" y1="${inner.height}" y2="${inner.height}"/>
    ${lines}
    <text class="middle name" x="${inner.width / 2}" y="${inner.height + 37}">${xName}</text>
  </g>
</svg>`;
}
