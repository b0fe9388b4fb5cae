import { markup, type Markup } from './markup.js';
import { coordinate, extentOf, padded, percent, ticks, union, type Extent } from './numbers.js';
import type { Point } from './series.js';

/** A point of a {@link frontierChart} with its label. */
export interface FrontierPoint extends Point {
  readonly label: string;
  /** `end`: a model that was given; `best`: the one that was chosen. */
  readonly look: 'end' | 'best' | 'between';
}

/** Options of {@link frontierChart}. */
export interface FrontierChartOptions {
  /** Description of the chart for screen readers. */
  readonly title: string;
  /** In the order of the line through them. */
  readonly points: readonly FrontierPoint[];
  readonly xName: string;
  readonly yName: string;
}

const [width, height] = [620, 420];
const margin = { top: 20, right: 70, bottom: 46, left: 60 };

/** Radius of a point by its look. */
const radius = { end: 5, best: 7, between: 3.5 } as const;

/**
 * One quality against another, in per cent: a line through labelled points, as WiSE-FT's figures have it. The
 * axes need not begin at 0.
 */
export function frontierChart({ title, points, xName, yName }: FrontierChartOptions): Markup {
  const size = {
    width: width - margin.left - margin.right,
    height: height - margin.top - margin.bottom,
  };
  const x = axis(points.map((point) => point.x));
  const y = axis(points.map((point) => point.y));
  const toX = (value: number) => coordinate(((value - x[0]) / (x[1] - x[0])) * size.width);
  const toY = (value: number) => coordinate((1 - (value - y[0]) / (y[1] - y[0])) * size.height);
  const path = points.map((point, i) => `${i === 0 ? 'M' : 'L'}${toX(point.x)} ${toY(point.y)}`);
  return markup`
<svg class="chart frontier" viewBox="0 0 ${width} ${height}" style="max-width:${width}px" role="img" aria-label="${title}">
  <g transform="translate(${margin.left} ${margin.top})">
    ${ticks(y, 6).map(
      (value) => markup`
      <line class="grid" x2="${size.width}" y1="${toY(value)}" y2="${toY(value)}"/>
      <text class="end" x="-8" y="${toY(value)}" dy=".35em">${percent(value)}</text>`,
    )}${ticks(x, 6).map(
      (value) => markup`
      <line class="grid" y2="${size.height}" x1="${toX(value)}" x2="${toX(value)}"/>
      <text class="middle" x="${toX(value)}" y="${size.height + 18}">${percent(value)}</text>`,
    )}
    <path class="main" d="${path.join('')}"/>
    ${points.map(
      (point) => markup`
      <circle class="point ${point.look}" cx="${toX(point.x)}" cy="${toY(point.y)}" r="${radius[point.look]}"/>
      <text x="${toX(point.x)}" y="${toY(point.y)}" dx="9" dy="-.4em">${point.label}</text>`,
    )}
    <text class="middle name" x="${size.width / 2}" y="${size.height + 40}">${xName}</text>
    <text class="middle name" transform="translate(-46 ${size.height / 2}) rotate(-90)">${yName}</text>
  </g>
</svg>`;
}

/** The range of an axis: that of the values, and half a per cent at least. */
function axis(values: readonly number[]): Extent {
  const extent = extentOf(values) ?? [0, 1];
  const middle = (extent[0] + extent[1]) / 2;
  return padded(union(extent, [middle - 0.0025, middle + 0.0025]), 0.08);
}
