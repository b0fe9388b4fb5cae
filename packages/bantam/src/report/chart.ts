import { markup, type Content, type Markup } from './markup.js';
import {
  compact,
  coordinate,
  extentOf,
  padded,
  project,
  textWidth,
  ticks,
  union,
  type Extent,
} from './numbers.js';
import { thin, type Point } from './series.js';

/** A curve of a {@link lineChart}. */
export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** `main` is a strong line, `faint` a thin pale one behind it. */
  readonly look?: 'main' | 'faint';
}

/** A level to compare a curve with. */
export interface Reference {
  readonly name: string;
  readonly y: number;
}

export interface LineChartOptions {
  /** Description of the chart for screen readers. */
  readonly title: string;
  readonly series: readonly Series[];
  readonly xName: string;
  /** Name of the y axis; empty if the heading names it. */
  readonly yName?: string;
  readonly reference?: Reference | undefined;
  /** Put 0 on the y axis. */
  readonly fromZero?: boolean;
  /** Size in user units; text is 12 units high. */
  readonly width?: number;
  readonly height?: number;
  readonly formatX?: (value: number) => string;
  readonly formatY?: (value: number) => string;
}

/** The line above the axes has the name of the vertical one and the legend, which cover no curve. */
const margin = { top: 14, named: 34, right: 14, bottom: 42, left: 54 };

/** Fraction of values at either end that may exceed the y axis: spikes. */
const outliers = 0.002;

/**
 * A chart of curves as SVG: axes with round numbers (x from 0), grid lines, a reference level, and a legend
 * for several curves. Colours come from the page's style sheet.
 */
export function lineChart(options: LineChartOptions): Markup {
  const { title, series, xName, yName = '', reference, fromZero = false } = options;
  const { width = 720, height = 300, formatX = compact, formatY = compact } = options;
  const top = yName !== '' || series.length > 1 ? margin.named : margin.top;
  const size = {
    width: width - margin.left - margin.right,
    height: height - top - margin.bottom,
  };
  const all = series.flatMap(({ points }) => points);
  const xExtent = union([0, 0], extentOf(all.map(({ x }) => x)) ?? [0, 1]);
  const [low, high] = padded(yExtentOf(options) ?? [0, 1], 0.06);
  const yExtent: Extent = [fromZero ? 0 : low, high];
  const toX = project(xExtent, 0, size.width);
  const toY = project(yExtent, size.height, 0);
  const grid = ticks(yExtent, Math.max(3, size.height / 48)).map((value) => {
    const y = coordinate(toY(value));
    return markup`
      <line class="grid" x2="${size.width}" y1="${y}" y2="${y}"/>
      <text class="end" x="-8" y="${y}" dy=".35em">${formatY(value)}</text>`;
  });
  const notches = ticks(xExtent, Math.max(3, size.width / 110)).map((value) => {
    const x = coordinate(toX(value));
    return markup`
      <line class="axis" x1="${x}" x2="${x}" y1="${size.height}" y2="${size.height + 5}"/>
      <text class="middle" x="${x}" y="${size.height + 19}">${formatX(value)}</text>`;
  });
  const curves = series.map(({ points, look = 'main' }) => {
    const path = pathOf(thin(points, size.width), toX, toY);
    return markup`<path class="${look}" d="${path}"/>`;
  });
  return markup`
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
  <g transform="translate(${margin.left} ${top})">
    ${grid}${notches}
    <line class="axis" x2="${size.width}" y1="${size.height}" y2="${size.height}"/>
    <svg width="${size.width}" height="${size.height}" overflow="hidden">
      ${referenceLine(reference, toY, size.width)}${curves}
    </svg>
    ${legend(series, size.width)}
    <text class="middle name" x="${size.width / 2}" y="${size.height + 37}">${xName}</text>
    <text class="name" x="${8 - margin.left}" y="-18">${yName}</text>
  </g>
</svg>`;
}

function yExtentOf({ series, reference, fromZero }: LineChartOptions): Extent | undefined {
  const extents = series.flatMap(({ points, look }) => {
    const values = points.map(({ y }) => y);
    const extent = extentOf(values, look === 'faint' ? outliers : 0);
    return extent === undefined ? [] : [extent];
  });
  if (extents.length === 0) return undefined;
  if (reference !== undefined) extents.push([reference.y, reference.y]);
  if (fromZero === true) extents.push([0, 0]);
  return union(...extents);
}

/** Lines through the points; one whose value is not finite leaves a gap. */
function pathOf(
  points: readonly Point[],
  toX: (x: number) => number,
  toY: (y: number) => number,
): string {
  let command = 'M';
  let path = '';
  for (const { x, y } of points) {
    if (!Number.isFinite(y)) {
      command = 'M';
      continue;
    }
    path += `${command}${coordinate(toX(x))} ${coordinate(toY(y))}`;
    command = 'L';
  }
  return path;
}

function referenceLine(
  reference: Reference | undefined,
  toY: (y: number) => number,
  width: number,
): Content {
  if (reference === undefined) return null;
  const y = toY(reference.y);
  return markup`
    <line class="reference" x2="${width}" y1="${coordinate(y)}" y2="${coordinate(y)}"/>
    <text class="end" x="${width - 4}" y="${coordinate(y + 14)}">${reference.name}</text>`;
}

function legend(series: readonly Series[], width: number): Content {
  if (series.length < 2) return null;
  const y = -22;
  let end = width;
  return series.toReversed().map(({ name, look = 'main' }) => {
    const x = end - textWidth(name);
    end = x - 52;
    return markup`
    <line class="${look}" x1="${coordinate(x - 28)}" x2="${coordinate(x - 6)}" y1="${y}" y2="${y}"/>
    <text x="${coordinate(x)}" y="${y}" dy=".35em">${name}</text>`;
  });
}
