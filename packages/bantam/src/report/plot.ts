/** Plots of measured points with intervals, on linear and logarithmic axes, as SVG. */
import { at } from '../base/at.js';
import { markup, type Content, type Markup } from './markup.js';
import { compact, coordinate, padded, ticks, union, type Extent } from './numbers.js';

/** A measured point; x and y must suit the scales of the axes. */
export interface PlotPoint {
  readonly x: number;
  readonly y: number;
  /** Ends of its interval. */
  readonly low?: number;
  readonly high?: number;
}

/** Points of one kind, told from others by the shape of their marks, the dashes of their line and colour. */
export interface PlotSeries {
  readonly name: string;
  readonly points: readonly PlotPoint[];
  /** A fitted curve with its band, in ascending x, in place of lines from point to point. */
  readonly curve?: readonly Required<PlotPoint>[] | undefined;
}

export interface PlotAxis {
  readonly name: string;
  /** Default linear. */
  readonly scale?: 'linear' | 'log';
  readonly format?: (value: number) => string;
  /** Labelled values. Default: round ones. */
  readonly ticks?: readonly number[];
}

export interface PlotOptions {
  /** Description of the plot for screen readers. */
  readonly title: string;
  readonly series: readonly PlotSeries[];
  readonly x: PlotAxis;
  readonly y: PlotAxis;
  /** Size in user units; text is 12 units high. */
  readonly width?: number;
  readonly height?: number;
}

/** The name of the vertical axis is a line above it: turned, a long one would run over its labels. */
const margin = { top: 34, right: 16, bottom: 44, left: 58 };

/** Dashes of the lines of successive series. */
const dashes = ['', '7 4', '2 3', '9 3 2 3', '5 2', '1 4', '12 4', '4 2 1 2'] as const;

/** Number of looks; series beyond it begin again. */
const looks = dashes.length;

/** A plot with its legend below. */
export function plot(options: PlotOptions): Markup {
  const { title, series, x, y, width = 420, height = 310 } = options;
  const inner = {
    width: width - margin.left - margin.right,
    height: height - margin.top - margin.bottom,
  };
  const all = series.flatMap(({ points, curve = [] }) => [...points, ...curve]);
  const toX = scaleOf(
    x,
    all.map((point) => point.x),
    [0, inner.width],
  );
  const toY = scaleOf(
    y,
    all.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]),
    [inner.height, 0],
  );
  const grid = toY.ticks(Math.max(3, inner.height / 42)).map((value) => {
    const own = coordinate(toY.at(value));
    return markup`
      <line class="grid" x2="${inner.width}" y1="${own}" y2="${own}"/>
      <text class="end" x="-8" y="${own}" dy=".35em">${(y.format ?? compact)(value)}</text>`;
  });
  const notches = (x.ticks ?? toX.ticks(Math.max(3, inner.width / 60))).map((value) => {
    const own = coordinate(toX.at(value));
    return markup`
      <line class="axis" x1="${own}" x2="${own}" y1="${inner.height}" y2="${inner.height + 5}"/>
      <text class="middle" x="${own}" y="${inner.height + 19}">${(x.format ?? compact)(value)}</text>`;
  });
  const path = (points: readonly Pick<PlotPoint, 'x' | 'y'>[]): string =>
    points
      .map(
        (point, i) =>
          `${i === 0 ? 'M' : 'L'}${coordinate(toX.at(point.x))} ${coordinate(toY.at(point.y))}`,
      )
      .join('');
  const bandOf = (curve: readonly Required<PlotPoint>[]): Content => {
    const above = curve.map(({ x, high }) => ({ x, y: high }));
    const below = curve.map(({ x, low }) => ({ x, y: low })).reverse();
    return markup`<path class="band" d="${path([...above, ...below])}Z"/>`;
  };
  const drawn = series.map(({ points, curve }, i) => {
    const sorted = points.toSorted((a, b) => a.x - b.x);
    const look = i % looks;
    return markup`
      <g class="series s${look}">
        ${curve === undefined ? null : bandOf(curve)}
        <path class="line" stroke-dasharray="${at(dashes, look)}" d="${path(curve ?? sorted)}"/>
        ${sorted.map((point) => pointMarkup(point, look, { toX, toY }))}
      </g>`;
  });
  return markup`
<figure class="plot">
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
  <g transform="translate(${margin.left} ${margin.top})">
    ${grid}${notches}
    <line class="axis" x2="${inner.width}" y1="${inner.height}" y2="${inner.height}"/>
    ${drawn}
    <text class="middle name" x="${inner.width / 2}" y="${inner.height + 38}">${x.name}</text>
    <text class="name" x="${8 - margin.left}" y="-20">${y.name}</text>
  </g>
</svg>
${legend(series)}
</figure>`;
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: (count: number) => readonly number[];
}

/** The map of an axis, with a bit of room beyond the values. */
function scaleOf(
  { scale = 'linear' }: PlotAxis,
  values: readonly number[],
  [from, to]: readonly [number, number],
): Scale {
  const map = scale === 'log' ? Math.log10 : (value: number): number => value;
  const mapped = values.map(map).filter(Number.isFinite);
  const whole: Extent =
    mapped.length === 0 ? [0, 1] : union(...mapped.map((value): Extent => [value, value]));
  const [low, high] = padded(whole, 0.06);
  return {
    at: (value) => from + ((map(value) - low) / (high - low)) * (to - from),
    ticks: (count) => {
      if (scale === 'linear') return ticks([low, high], count);
      const round = roundNumbers.filter((value) => map(value) >= low && map(value) <= high);
      return round.length >= 3 ? thinned(round, count) : ticks([10 ** low, 10 ** high], count);
    },
  };
}

/** Labels of a logarithmic axis: 1, 2, 5 · 10ⁿ. */
const roundNumbers = Array.from({ length: 40 }, (_, i) => i - 14).flatMap((power) =>
  [1, 2, 5].map((multiple) => Number(`${multiple}e${power}`)),
);

/** At most `count` of some values, with even steps between them; powers of ten if there are many. */
function thinned(values: readonly number[], count: number): readonly number[] {
  const powers = values.filter((value) => Number.isInteger(Number(Math.log10(value).toFixed(9))));
  const chosen = values.length > count && powers.length >= 3 ? powers : values;
  const step = Math.ceil(chosen.length / count);
  return chosen.filter((_, i) => i % step === 0);
}

function pointMarkup(
  { x, y, low, high }: PlotPoint,
  look: number,
  { toX, toY }: { readonly toX: Scale; readonly toY: Scale },
): Content {
  const [left, top] = [coordinate(toX.at(x)), coordinate(toY.at(y))];
  const interval =
    low === undefined || high === undefined
      ? null
      : markup`<line class="interval" x1="${left}" x2="${left}" y1="${coordinate(toY.at(low))}" y2="${coordinate(toY.at(high))}"/>`;
  return markup`${interval}<path class="mark" transform="translate(${left} ${top})" d="${markOf(look)}"/>`;
}

/** Outlines of marks about the origin. */
const marks = [
  'M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z',
  'M-3.6 -3.6H3.6V3.6H-3.6Z',
  'M0 -4.8L4.4 3.4H-4.4Z',
  'M0 -5L5 0L0 5L-5 0Z',
  'M0 4.8L4.4 -3.4H-4.4Z',
  'M-4.5 -1.5H-1.5V-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5Z',
  'M-5 -2.5H5V2.5H-5Z',
  'M-2.5 -5H2.5V5H-2.5Z',
] as const;

function markOf(look: number): string {
  return at(marks, look % marks.length);
}

function legend(series: readonly PlotSeries[]): Content {
  if (series.length < 2) return null;
  const rows = series.map(({ name }, i) => {
    const look = i % looks;
    return markup`<li><svg viewBox="0 0 34 14" class="key series s${look}">
      <path class="line" stroke-dasharray="${at(dashes, look)}" d="M0 7H34"/>
      <path class="mark" transform="translate(17 7)" d="${markOf(look)}"/></svg>${name}</li>`;
  });
  return markup`<figcaption><ul class="legend">${rows}</ul></figcaption>`;
}
