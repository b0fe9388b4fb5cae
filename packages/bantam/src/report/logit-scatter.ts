import { at } from '../base/at.js';
import { logit, type RobustnessLine } from '../eval/index.js';
import { markup, type Content, type Markup } from './markup.js';
import { coordinate, percent, project, textWidth } from './numbers.js';

/** A model: fractions on both axes. */
export interface ScatterPoint {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  /** `main` is a strong point with its name, `faint` a pale one. */
  readonly look: 'main' | 'faint';
}

export interface LogitScatterOptions {
  /** Description of the chart for screen readers. */
  readonly title: string;
  readonly points: readonly ScatterPoint[];
  /** Lines on logit axes. */
  readonly lines: readonly RobustnessLine[];
  readonly xName: string;
  readonly yName: string;
}

const margin = { top: 14, right: 14, bottom: 42, left: 60 };
const side = 360;

/** Fractions that may be marked on an axis. */
const marks = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995,
  0.998, 0.999,
];

/** Distance of two names, one below the other. */
const nameHeight = 13;

/** Least number of marks on an axis. */
const fewest = 3;

/**
 * Models by their accuracies on two data sets, both axes scaled by ln(p/(1−p)), on which models of
 * one family are close to a line; the dashed diagonal is equal accuracy on both.
 */
export function logitScatter(options: LogitScatterOptions): Markup {
  const { title, points, lines, xName, yName } = options;
  const [low, high] = domainOf(points.flatMap(({ x, y }) => [x, y]));
  const ends = [logit(low), logit(high)] as const;
  const toX = project(ends, 0, side);
  const toY = project(ends, side, 0);
  const inside = (value: number): number => Math.min(high, Math.max(low, value));
  const shown = marks.filter((mark) => mark >= low && mark <= high);
  const axis = shown.map((mark) => {
    const [x, y] = [coordinate(toX(logit(mark))), coordinate(toY(logit(mark)))];
    const text = percent(mark, 1);
    return markup`
      <line class="grid" x2="${side}" y1="${y}" y2="${y}"/>
      <line class="grid" x1="${x}" x2="${x}" y2="${side}"/>
      <text class="end" x="-8" y="${y}" dy=".35em">${text}</text>
      <text class="middle" x="${x}" y="${side + 19}">${text}</text>`;
  });
  const drawn = lines.map(
    ({ slope, intercept }) =>
      markup`<line class="main" x1="0" y1="${coordinate(toY(slope * ends[0] + intercept))}" x2="${side}" y2="${coordinate(toY(slope * ends[1] + intercept))}"/>`,
  );
  const placed = points.map((point) => ({
    point,
    cx: toX(logit(inside(point.x))),
    cy: toY(logit(inside(point.y))),
  }));
  return markup`
<svg class="chart scatter" viewBox="0 0 ${side + margin.left + margin.right} ${side + margin.top + margin.bottom}" role="img" aria-label="${title}">
  <g transform="translate(${margin.left} ${margin.top})">
    ${axis}
    <rect class="frame" width="${side}" height="${side}"/>
    <svg width="${side}" height="${side}" overflow="hidden">
      <line class="reference" x1="0" y1="${side}" x2="${side}" y2="0"/>${drawn}
    </svg>
    ${dots(placed)}
    <text class="middle name" x="${side / 2}" y="${side + 37}">${xName}</text>
    <text class="middle name" transform="translate(-48 ${side / 2}) rotate(-90)">${yName}</text>
  </g>
</svg>`;
}

/** The marks round all values, as many as it takes for an axis to be read. */
function domainOf(values: readonly number[]): readonly [number, number] {
  let from = Math.max(
    0,
    marks.findLastIndex((mark) => mark <= Math.min(...values)),
  );
  let to = marks.findIndex((mark) => mark >= Math.max(...values));
  if (to < 0) to = marks.length - 1;
  while (to - from < fewest) {
    if (from > 0) from--;
    if (to < marks.length - 1) to++;
  }
  return [at(marks, from), at(marks, to)];
}

/** A point and its place on the chart. */
interface Placed {
  readonly point: ScatterPoint;
  readonly cx: number;
  readonly cy: number;
}

/** The points, faint ones behind, and the names of the others, none upon another. */
function dots(placed: readonly Placed[]): Content {
  const isNamed = ({ point: { look } }: Placed): boolean => look === 'main';
  let free = -Infinity;
  const names = placed
    .filter(isNamed)
    .sort((a, b) => a.cy - b.cy)
    .map(({ point: { name }, cx, cy }) => {
      const y = Math.max(cy, free);
      free = y + nameHeight;
      const width = textWidth(name) + 9;
      // A name that is too long for both sides is cut where there is less to lose.
      const isLeft = cx + width > side + margin.right && cx > side / 2;
      return markup`<text class="${isLeft ? 'end point-name' : 'point-name'}" x="${coordinate(cx + (isLeft ? -9 : 9))}" y="${coordinate(y)}" dy=".35em">${name}</text>`;
    });
  const circles = placed
    .toSorted((a, b) => Number(isNamed(a)) - Number(isNamed(b)))
    .map(({ point: { name, x, y, look }, cx, cy }) => {
      const values = `${name}: ${(100 * x).toFixed(1)} %, ${(100 * y).toFixed(1)} %`;
      return markup`<circle class="point-${look}" cx="${coordinate(cx)}" cy="${coordinate(cy)}" r="${look === 'main' ? 5 : 3.5}"><title>${values}</title></circle>`;
    });
  return [circles, names];
}
