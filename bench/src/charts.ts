/** SVG images of results, readable on light and dark pages. */
import { lineChart, type Markup, markup, ticks } from 'bantam/internal';
import { figuresOf } from './figures.js';
import { times } from './format.js';
import type { CaseResult, Results, ScalingPoint } from './results.js';

/** Greys of middle lightness stand out from white and from black. */
const style = `
text { font: 12px system-ui, sans-serif; fill: #808790; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.strong { font-weight: 600; }
.grid { stroke: #808790; stroke-opacity: 0.25; } .axis { stroke: #808790; }
.one { stroke: #808790; stroke-dasharray: 3 4; }
.bf16 { fill: #2b7fd4; } .fp32 { fill: #7fb2e5; } .int8 { fill: #1b9e8a; }
.main { stroke: #2b7fd4; stroke-width: 2.2; fill: none; stroke-linejoin: repetition; }
.range { stroke: #808790; stroke-width: 1.5; }
`;

const row = 22;
const left = 230;
const bars = 430;
const width = left + bars + 100;

interface Bar {
  readonly name: string;
  readonly precision: CaseResult['precision'];
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
}

/** Bars of how many times as fast as the baseline Bantam is; a line shows the range over the repetitions. */
export function ratioChart({ cases = [], machine }: Results): string {
  const shown = cases.flatMap((result): Bar[] => {
    const { ratio } = figuresOf(result, machine.cores);
    if (ratio === null) return [];
    const { name, precision } = result;
    return [{ name, precision, ratio: ratio.median, ...ratio }];
  });
  const most = Math.max(1, ...shown.map(({ highest }) => highest));
  const toX = (ratio: number): number => left + (bars * ratio) / most;
  const bottom = 12 + row * shown.length;
  const grid = ticks([0, most], 6).map(
    (value) => markup`
  <line class="${value === 0 ? 'axis' : 'grid'}" x1="${at(toX(value))}" x2="${at(toX(value))}" y1="8" y2="${bottom}"/>
  <text class="middle" x="${at(toX(value))}" y="${bottom + 16}">${value}×</text>`,
  );
  const drawn = shown.map((bar, index) => drawBar(bar, 12 + row * index, toX));
  const title = 'How many times as fast as OpenCLIP on PyTorch Bantam is';
  return image(
    { title, width, height: bottom + 44 },
    markup`${grid}${drawn}
  <line class="one" x1="${at(toX(1))}" x2="${at(toX(1))}" y1="8" y2="${bottom}"/>
  <text class="middle" x="${left + bars / 2}" y="${bottom + 36}">samples/s of Bantam ÷ samples/s of the baseline</text>`,
  );
}

function drawBar(
  { name, precision, ratio, lowest, highest }: Bar,
  y: number,
  toX: (x: number) => number,
): Markup {
  const middle = y + row / 2;
  return markup`
  <text class="end" x="${left - 8}" y="${middle}" dy=".35em">${name}</text>
  <rect class="${precision}" x="${left}" y="${y + 3}" width="${at(toX(ratio) - left)}" height="${row - 6}" rx="2"/>
  <line class="range" x1="${at(toX(lowest))}" x2="${at(toX(highest))}" y1="${middle}" y2="${middle}"/>
  <text class="strong" x="${at(toX(highest) + 8)}" y="${middle}" dy=".35em">${times(ratio)}</text>`;
}

const panel = { width: 400, height: 240 };

/** A curve of samples/s and one of peak memory for each axis. */
export function scalingChart(points: readonly ScalingPoint[]): string {
  const axes = [...new Set(points.map(({ axis }) => axis))];
  const panels = axes.flatMap((axis, index) => {
    const along = points.filter((point) => point.axis === axis);
    const speed = along.map(({ value, samplesPerSecond }) => ({ x: value, y: samplesPerSecond }));
    const memory = along.map(({ value, peakBytes }) => ({ x: value, y: (peakBytes ?? NaN) / 1e9 }));
    return [
      drawPanel(axis, 'samples/s', speed, 0, index),
      drawPanel(axis, 'peak memory, GB', memory, 1, index),
    ];
  });
  const size = { width: 2 * panel.width, height: axes.length * panel.height };
  return image({ title: 'Training speed and memory of Bantam', ...size }, markup`${panels}`);
}

function drawPanel(
  xName: string,
  yName: string,
  points: readonly { x: number; y: number }[],
  column: number,
  line: number,
): Markup {
  const chart = lineChart({
    title: `${yName} against ${xName}`,
    series: [{ name: yName, points }],
    xName,
    yName,
    fromZero: true,
    ...panel,
  });
  return markup`<svg x="${column * panel.width}" y="${line * panel.height}" width="${panel.width}" height="${panel.height}">${chart}</svg>`;
}

function at(value: number): string {
  return String(Number(value.toFixed(1)));
}

function image(
  { title, width, height }: { title: string; width: number; height: number },
  content: Markup,
): string {
  const drawn = markup`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${title}">
<title>${title}</title><style>`;
  return `${drawn.text}${style}</style>${content.text}\n</svg>\n`;
}
