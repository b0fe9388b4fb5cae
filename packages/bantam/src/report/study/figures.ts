/** The figures of a study: of each grid those of Scaling (Down) CLIP that its axes allow. */
import type { Interval } from '../../eval/index.js';
import {
  costAxes,
  lineOf,
  type ArmResult,
  type AxisName,
  type FitCost,
  type StudyColumn,
  type StudyFit,
  type StudyResult,
} from '../../study/index.js';
import { dotPlot } from '../dot-plot.js';
import type { Markup } from '../markup.js';
import { compact } from '../numbers.js';
import { plot, type PlotAxis, type PlotPoint } from '../plot.js';

/** A figure: plots side by side, of the arms whose table is behind it. */
export interface Figure {
  readonly title: string;
  readonly lead: string;
  readonly plots: readonly Markup[];
  readonly arms: readonly ArmResult[];
  readonly columns: readonly StudyColumn[];
  readonly grid: string;
}

type Grid = StudyResult['grids'][number];

/** A horizontal axis with the value of an arm on it. */
interface Across {
  readonly axis: PlotAxis;
  readonly of: (arm: ArmResult) => number;
  /** The cost that it is, of which there may be fitted curves. */
  readonly cost?: FitCost;
  /** True if the arms' own values are labelled, of which there are few. */
  readonly isListed?: boolean;
}

const samples: Across = {
  axis: { name: 'samples seen', scale: 'log' },
  of: (arm) => arm.samples,
  cost: 'samples',
};
const flops: Across = {
  axis: { name: 'FLOPs', scale: 'log', format: (value) => value.toExponential(0).replace('+', '') },
  of: (arm) => arm.flops,
  cost: 'flops',
};
const seconds: Across = {
  axis: { name: 'seconds of training', scale: 'log' },
  of: (arm) => arm.seconds,
};
const epochs: Across = {
  axis: { name: 'epochs', scale: 'log' },
  of: (arm) => Number(arm.epochs.toPrecision(3)),
  cost: 'epochs',
  isListed: true,
};
const records: Across = {
  axis: { name: 'different images', scale: 'log' },
  of: (arm) => arm.records,
};
const quality: Across = {
  axis: { name: 'kept fraction of the data', format: (value) => `${compact(100 * value)} %` },
  of: (arm) => arm.values.quality?.number ?? 1,
  isListed: true,
};
const rate: Across = {
  axis: {
    name: 'peak learning rate',
    scale: 'log',
    format: (value) => value.toExponential(0),
  },
  of: (arm) => arm.values.lr?.number ?? 1,
  isListed: true,
};

/** Kinds of figures by the axes that vary, the first that fits. */
const kinds: readonly {
  readonly fits: (varied: ReadonlySet<AxisName>) => boolean;
  readonly across: readonly Across[];
  /** Axes that the horizontal one stands for. */
  readonly along: readonly AxisName[];
  readonly lead: string;
}[] = [
  {
    fits: (varied) => varied.has('quantity') && (varied.has('epochs') || varied.has('budget')),
    across: [epochs, samples],
    along: costAxes,
    lead: 'Error by passes over the data and by samples seen: lines part where repeats are worth less than new data.',
  },
  {
    fits: (varied) => varied.has('quantity'),
    across: [records],
    along: ['quantity'],
    lead: 'Error by the number of different images.',
  },
  {
    fits: (varied) => varied.has('quality'),
    across: [quality],
    along: ['quality'],
    lead: 'Error by the fraction of the data with the highest scores that is kept.',
  },
  {
    fits: (varied) => varied.has('epochs') || varied.has('budget'),
    across: [samples, flops, seconds],
    along: costAxes,
    lead: 'Error by samples seen, by compute and by time.',
  },
  {
    fits: (varied) => varied.has('lr'),
    across: [rate],
    along: ['lr'],
    lead: 'Error by the peak learning rate.',
  },
];

/** The figures of a study's grids for some of its columns. */
export function figuresOf(result: StudyResult, columns: readonly StudyColumn[]): Figure[] {
  if (columns.length === 0) return [];
  return result.grids.flatMap((grid) => {
    const arms = result.arms.filter((arm) => arm.grid === grid.name);
    const fits = result.fits.filter((fit) => fit.grid === grid.name);
    return arms.length === 0 ? [] : [figureOf(grid, arms, { columns, fits })];
  });
}

function figureOf(
  grid: Grid,
  arms: readonly ArmResult[],
  {
    columns,
    fits,
  }: { readonly columns: readonly StudyColumn[]; readonly fits: readonly StudyFit[] },
): Figure {
  const kind = kinds.find(({ fits }) => fits(new Set(grid.varied)));
  const shared = { title: grid.name, arms, columns, grid: grid.name };
  if (kind === undefined) {
    return {
      ...shared,
      lead: costsOf(arms),
      plots: columns.map((column) => sideBySide(arms, column)),
    };
  }
  const drawn = new Set<string>();
  const plots = columns.flatMap((column) => {
    const isByCost = kind.along === costAxes;
    const own = isByCost ? closest(fits.filter((fit) => fit.column === column.id)) : [];
    for (const { law } of own) drawn.add(law);
    return kind.across.map((across) =>
      lines(arms, { grid, column, across, along: kind.along, fits: own }),
    );
  });
  return { ...shared, lead: [kind.lead, ...lawNote(drawn)].join(' '), plots };
}

/** Of the laws that are fitted to the same arms the one with the least residual. */
function closest(fits: readonly StudyFit[]): StudyFit[] {
  const best = new Map<string, StudyFit>();
  for (const fit of fits) {
    const before = best.get(fit.series);
    if (before === undefined || fit.residual < before.residual) best.set(fit.series, fit);
  }
  return [...best.values()];
}

/** Names the curves of a figure. */
function lawNote(laws: ReadonlySet<string>): string[] {
  if (laws.size === 0) return [];
  const names = [...laws].map((law) => `“${law}”`).join(' or ');
  return [`Curves are the law ${names}, shaded the band that holds a new run with 80 %.`];
}

/** `Arms at 48k samples, 1.2e+13 FLOPs` where they are equal. */
function costsOf(arms: readonly ArmResult[]): string {
  const equal = (of: (arm: ArmResult) => number): boolean => {
    const values = arms.map(of);
    return Math.max(...values) <= 1.01 * Math.min(...values);
  };
  const [first] = arms;
  if (first === undefined) return '';
  const costs = [
    ...(equal(({ samples: seen }) => seen) ? [`${compact(first.samples)} samples`] : []),
    ...(equal((arm) => arm.flops) ? [`${first.flops.toExponential(1)} FLOPs`] : []),
    ...(equal((arm) => arm.seconds) ? [`${compact(first.seconds)} s`] : []),
  ];
  return costs.length === 0
    ? 'Arms at different costs, which the table has.'
    : `Arms at equal cost: ${costs.join(', ')} each.`;
}

function sideBySide(arms: readonly ArmResult[], column: StudyColumn): Markup {
  return dotPlot({
    title: `${column.id} of each arm with 95 % intervals`,
    xName: column.id,
    dots: arms.flatMap(({ name, metrics }) => {
      const summary = metrics[column.id];
      if (summary === undefined) return [];
      const { mean: value, interval } = summary;
      const [low, high] = interval === null ? [] : possible(interval, column);
      return [{ name, value, ...(low !== undefined && high !== undefined && { low, high }) }];
    }),
    ...(!column.lowerIsBetter && { format: percent }),
  });
}

/** The part of an interval by Student's t that a metric can reach: ranks begin at 1, fractions end at 1. */
function possible(
  [low, high]: Interval,
  { lowerIsBetter }: Pick<StudyColumn, 'lowerIsBetter'>,
): Interval {
  return lowerIsBetter ? [Math.max(1, low), high] : [Math.max(0, low), Math.min(1, high)];
}

/** Labels of an axis that do not run into each other. */
const mostListed = 8;

interface LinesOptions {
  readonly grid: Grid;
  readonly column: StudyColumn;
  readonly across: Across;
  readonly along: readonly AxisName[];
  /** One for a line at most. */
  readonly fits: readonly StudyFit[];
}

function lines(
  arms: readonly ArmResult[],
  { grid, column, across, along, fits }: LinesOptions,
): Markup {
  const names = new Map<string, ArmResult[]>();
  for (const arm of arms) {
    const name = lineOf(arm, grid.varied, along);
    names.set(name, [...(names.get(name) ?? []), arm]);
  }
  const ticks = [...new Set(arms.map(across.of))];
  return plot({
    title: `${column.id} by ${across.axis.name}`,
    x: {
      ...across.axis,
      ...(across.isListed === true && ticks.length <= mostListed && { ticks }),
    },
    y: column.lowerIsBetter
      ? { name: column.id }
      : { name: `error: ${column.id}`, scale: 'log', format: percent },
    series: [...names].map(([name, members]) => ({
      name,
      points: members.flatMap((arm) => pointOf(arm, column, across)),
      curve: curveOf(name, fits, across),
    })),
  });
}

/** The fitted curve of a line on an axis; undefined if there is none. */
function curveOf(
  name: string,
  fits: readonly StudyFit[],
  { cost }: Across,
): Required<PlotPoint>[] | undefined {
  const curve = fits.flatMap(({ curves }) => curves).find(({ line }) => line === name);
  const points = (curve?.points ?? []).flatMap(({ error: y, band: [low, high], ...costs }) => {
    const x = cost === undefined ? undefined : costs[cost];
    return x === undefined ? [] : [{ x, y, low, high: Math.min(1, high) }];
  });
  return points.length === 0 ? undefined : points;
}

/** An arm on the axes; the error of metrics of which more is better. */
function pointOf(arm: ArmResult, column: StudyColumn, { of }: Across): PlotPoint[] {
  const { id, lowerIsBetter } = column;
  const summary = arm.metrics[id];
  if (summary === undefined) return [];
  const { mean, interval } = summary;
  const y = lowerIsBetter ? mean : 1 - mean;
  const reached = interval === null ? [] : possible(interval, column);
  const bounds = reached.map((bound) => (lowerIsBetter ? bound : 1 - bound));
  // A logarithmic axis ends above 0, and an interval that reaches beyond says no more.
  const [low, high] = bounds.toSorted((a, b) => a - b);
  return [
    {
      x: of(arm),
      y,
      ...(low !== undefined &&
        high !== undefined && { low: lowerIsBetter ? low : Math.max(low, 0.2 * y), high }),
    },
  ];
}

/** `12.5 %` */
export function percent(fraction: number): string {
  return `${Number((100 * fraction).toPrecision(3))} %`;
}
