import { markup, type Markup } from './markup.js';
import { compact, coordinate, extentOf, padded, textWidth, ticks } from './numbers.js';

/** A named value of a {@link dotPlot}. */
export interface Dot {
  readonly name: string;
  readonly value: number;
  /** Ends of its interval. */
  readonly low?: number;
  readonly high?: number;
}

export interface DotPlotOptions {
  /** Description of the plot for screen readers. */
  readonly title: string;
  readonly dots: readonly Dot[];
  readonly xName: string;
  readonly format?: (value: number) => string;
}

const rowHeight = 24;
/** Distance of the names from the axis. */
const gap = 12;
/** Least room for the names, and for names and values together. */
const least = { left: 210, values: 240, both: 536 };
const space = { top: 8, right: 24, bottom: 42 };

/** Values side by side with their intervals, a row each, as SVG. */
export function dotPlot(options: DotPlotOptions): Markup {
  const { title, dots, xName, format = compact } = options;
  const left = Math.max(least.left, ...dots.map(({ name }) => textWidth(name) + 2 * gap));
  const margin = { ...space, left };
  const inner = {
    width: Math.max(least.values, least.both - left),
    height: rowHeight * dots.length,
  };
  const width = inner.width + margin.left + margin.right;
  const values = dots.flatMap(({ value, low = value, high = value }) => [value, low, high]);
  const [from, to] = padded(extentOf(values) ?? [0, 1], 0.06);
  const toX = (value: number): string => coordinate(((value - from) / (to - from)) * inner.width);
  const height = inner.height + margin.top + margin.bottom;
  const rows = dots.map(({ name, value, low, high }, i) => {
    const y = rowHeight * (i + 0.5);
    const interval =
      low === undefined || high === undefined
        ? null
        : markup`<line class="interval" x1="${toX(low)}" x2="${toX(high)}" y1="${y}" y2="${y}"/>`;
    return markup`
      <text class="end" x="${-gap}" y="${y}" dy=".35em">${name}</text>
      ${interval}<circle class="mark" r="4" cx="${toX(value)}" cy="${y}"/>`;
  });
  const notches = ticks([from, to], 5).map(
    (value) => markup`
      <line class="grid" x1="${toX(value)}" x2="${toX(value)}" y2="${inner.height}"/>
      <text class="middle" x="${toX(value)}" y="${inner.height + 18}">${format(value)}</text>`,
  );
  return markup`
<figure class="plot wide">
<svg class="chart" viewBox="0 0 ${coordinate(width)} ${height}" role="img" aria-label="${title}">
  <g transform="translate(${coordinate(margin.left)} ${margin.top})">
    ${notches}
    <line class="axis" x2="${inner.width}" y1="${inner.height}" y2="${inner.height}"/>
    <g class="series s0">${rows}</g>
    <text class="middle name" x="${inner.width / 2}" y="${inner.height + 37}">${xName}</text>
  </g>
</svg>
</figure>`;
}
