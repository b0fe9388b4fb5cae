/** Results of a study: its runs, the arms' means with intervals, and comparisons. Plain data. */
import { availableParallelism, cpus } from 'node:os';
import { at } from '../base/at.js';
import type { Interval } from '../eval/index.js';
import type { Arm, AxisName, AxisValue, Grid } from './config/axes.js';
import type { StudyColumn } from './config/metrics.js';
import type { StudyOptions } from './config/schema.js';
import type { Prediction } from './fits/fit.js';
import {
  holm,
  pairedTest,
  verdictOn,
  type PairedTest,
  type Verdict,
} from './statistics/comparisons.js';
import { moments, studentInterval } from './statistics/student-t.js';
import { remarksOn, type RunIncidents } from './remarks.js';
import type { MeasuredValue } from './runs/measurement.js';

/** Version of `results.json`; it rises if an older file would be read differently. */
export const resultsFormat = 1;

/** A finished run of an arm. */
export interface StudyRow {
  readonly seed: number;
  /** The run directory. */
  readonly run: string;
  /** Records of its data, and passes over them. */
  readonly records: number;
  readonly epochs: number;
  readonly samples: number;
  readonly flops: number;
  /** Training time. */
  readonly seconds: number;
  readonly lr: number;
  readonly incidents: RunIncidents;
  /** By {@link StudyColumn.id}. */
  readonly metrics: Readonly<Record<string, MeasuredValue>>;
}

/** A metric of an arm over its seeds. */
export interface MetricSummary {
  readonly mean: number;
  /** 95 % interval by Student's t over the seeds; null of one seed. */
  readonly interval: Interval | null;
  /** Half of the 95 % interval of sampling the test images, the mean of the seeds; null if unknown. */
  readonly samplingError: number | null;
  readonly chance: number | null;
}

/** An arm with the means of its runs. */
export interface ArmResult {
  readonly grid: string;
  readonly name: string;
  readonly values: Readonly<Partial<Record<AxisName, AxisValue>>>;
  readonly rows: readonly StudyRow[];
  /** Means over the seeds. */
  readonly records: number;
  readonly epochs: number;
  readonly samples: number;
  readonly flops: number;
  readonly seconds: number;
  /** By {@link StudyColumn.id}. */
  readonly metrics: Readonly<Record<string, MetricSummary>>;
}

/** An arm compared with its grid's baseline, at equal cost if the grid varies it, by one metric. */
export interface ArmComparison extends PairedTest {
  readonly grid: string;
  readonly column: string;
  readonly arm: string;
  readonly baseline: string;
  /** The p-value by Holm's method, over the comparisons of this metric in the grid. */
  readonly adjusted: number | null;
  readonly verdict: Verdict;
}

/** A run that failed. */
export interface StudyFailure {
  readonly grid: string;
  readonly arm: string;
  readonly seed: number;
  readonly message: string;
}

/** The learning rate that was chosen for an arm. */
export interface TunedRate {
  readonly grid: string;
  readonly arm: string;
  /** Null if every try failed. */
  readonly chosen: number | null;
  /** True if it is the least or the greatest of those that were tried. */
  readonly isAtEnd: boolean;
  readonly tried: readonly { readonly lr: number; readonly value: number | null }[];
}

/** A law fitted to the errors of a grid's arms by one metric. */
export interface StudyFit {
  readonly grid: string;
  /** The metric, whose error is 1 − value. */
  readonly column: string;
  /** Arms that it is fitted to, by the values that they have in common; empty: all of the grid. */
  readonly series: string;
  readonly law: string;
  readonly formula: string;
  /** With 95 % intervals by the bootstrap over arms and seeds. */
  readonly parameters: readonly {
    readonly name: string;
    readonly value: number;
    readonly interval: Interval;
  }[];
  /** Root mean square of ln(measured) − ln(predicted). */
  readonly residual: number;
  /** ln(measured) − ln(predicted) of each run. */
  readonly residuals: readonly number[];
  /** Predictions for more than was measured, with 80 % bands of a new run. */
  readonly beyond: readonly (Prediction & { readonly at: string })[];
  /** The law between the least and the greatest cost that was measured. */
  readonly curves: readonly FitCurve[];
}

/** Costs by which a law is drawn. */
export type FitCost = 'samples' | 'epochs' | 'flops';

/** A fitted law along arms that differ in their cost alone. */
export interface FitCurve {
  /** The {@link lineOf} its arms. */
  readonly line: string;
  /** From the least cost to the greatest, with 80 % bands of a new run. */
  readonly points: readonly (Prediction & Readonly<Partial<Record<FitCost, number>>>)[];
}

/** Axes that give an arm its cost. */
export const costAxes: readonly AxisName[] = ['epochs', 'budget'];

/** Name of a line of a figure: an arm's values on the axes that vary, without those along the line. */
export function lineOf(
  { values }: Pick<ArmResult, 'values'>,
  varied: readonly AxisName[],
  along: readonly AxisName[],
): string {
  const own = varied.filter((axis) => !along.includes(axis));
  return own.flatMap((axis) => values[axis]?.label ?? []).join(', ');
}

/** A study's runs, means and comparisons. */
export interface StudySummary {
  readonly formatVersion: number;
  readonly study: StudyOptions;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly processes: number;
    /** Threads of each process. */
    readonly threads: number;
  };
  readonly columns: readonly StudyColumn[];
  readonly grids: readonly {
    readonly name: string;
    readonly varied: readonly AxisName[];
    readonly baseline: string;
  }[];
  readonly arms: readonly ArmResult[];
  readonly comparisons: readonly ArmComparison[];
  /** Empty if learning rates are not tuned. */
  readonly tuned: readonly TunedRate[];
  readonly failures: readonly StudyFailure[];
  /** Sentences about data that were not read and training that did not go as planned. */
  readonly remarks: readonly string[];
}

/** Everything that a study found. */
export interface StudyResult extends StudySummary {
  /** Laws that its arms suffice for. */
  readonly fits: readonly StudyFit[];
}

/** Parts of a {@link StudySummary} that are not computed from others. */
export interface ResultParts {
  readonly study: StudyOptions;
  readonly grids: readonly Grid[];
  readonly columns: readonly StudyColumn[];
  readonly rows: ReadonlyMap<Arm, readonly StudyRow[]>;
  readonly tuned: readonly TunedRate[];
  readonly failures: readonly StudyFailure[];
  readonly processes: number;
  readonly threads: number;
}

/** The summary of a study from the rows of its arms. */
export function summarize(parts: ResultParts): StudySummary {
  const { study, grids, columns, rows, tuned, failures, processes, threads } = parts;
  const arms = grids.flatMap((grid) =>
    grid.arms.flatMap((arm) => {
      const own = rows.get(arm) ?? [];
      return own.length === 0 ? [] : [summaryOf(arm, own, columns)];
    }),
  );
  return {
    formatVersion: resultsFormat,
    study,
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      processes,
      threads,
    },
    columns,
    grids: grids.map((grid) => {
      return { name: grid.name, varied: grid.varied, baseline: nameOfBaseline(grid) };
    }),
    arms,
    comparisons: grids.flatMap((grid) =>
      columns.flatMap((column) => comparisonsOf(grid, column, arms)),
    ),
    tuned,
    failures,
    remarks: remarksOn(arms),
  };
}

function summaryOf(
  { grid, name, values }: Arm,
  rows: readonly StudyRow[],
  columns: readonly StudyColumn[],
): ArmResult {
  const meanOf = (value: (row: StudyRow) => number): number => moments(rows.map(value)).mean;
  const metrics = columns.flatMap(({ id }) => {
    const found = rows.map((row) => row.metrics[id]).filter((value) => value !== undefined);
    return found.length === 0 ? [] : [[id, metricSummary(found)] as const];
  });
  return {
    grid,
    name,
    values,
    rows,
    records: meanOf(({ records }) => records),
    epochs: meanOf(({ epochs }) => epochs),
    samples: meanOf(({ samples }) => samples),
    flops: meanOf(({ flops }) => flops),
    seconds: meanOf(({ seconds }) => seconds),
    metrics: Object.fromEntries(metrics),
  };
}

function metricSummary(found: readonly MeasuredValue[]): MetricSummary {
  const values = found.map(({ value }) => value);
  const halves = found.flatMap(({ interval }) =>
    interval === undefined ? [] : [(interval[1] - interval[0]) / 2],
  );
  return {
    mean: moments(values).mean,
    interval: studentInterval(values),
    samplingError: halves.length === 0 ? null : moments(halves).mean,
    chance: found[0]?.chance ?? null,
  };
}

/** True if a grid varies the cost and something else, so that arms are compared at each cost. */
function isComparedByCost({ varied }: Grid): boolean {
  const costs = varied.filter((axis) => costAxes.includes(axis));
  return costs.length > 0 && costs.length < varied.length;
}

/** The baseline in words. */
function nameOfBaseline(grid: Grid): string {
  const { baseline, varied } = grid;
  if (!isComparedByCost(grid)) return baseline.name;
  const cost = varied.includes('epochs') ? 'with as many epochs' : 'at equal cost';
  return `${lineOf(baseline, varied, costAxes)} ${cost}`;
}

/** The arm that another is compared with: the baseline, at the other's cost if the grid varies it. */
function referenceOf(
  { values }: ArmResult,
  grid: Grid,
  own: readonly ArmResult[],
): ArmResult | undefined {
  const { baseline, varied } = grid;
  if (!isComparedByCost(grid)) return own.find(({ name }) => name === baseline.name);
  return own.find((other) =>
    varied.every((axis) => {
      const wanted = costAxes.includes(axis) ? values : baseline.values;
      return other.values[axis]?.label === wanted[axis]?.label;
    }),
  );
}

/** Every other arm of a grid with its baseline, by one metric. */
function comparisonsOf(
  grid: Grid,
  { id, lowerIsBetter }: StudyColumn,
  arms: readonly ArmResult[],
): ArmComparison[] {
  const { name } = grid;
  const own = arms.filter((arm) => arm.grid === name);
  const tests = own.flatMap((arm) => {
    const reference = referenceOf(arm, grid, own);
    if (reference === undefined || reference === arm) return [];
    const differences = differencesOf(arm, reference, id);
    return differences.length === 0 ? [] : [{ arm, reference, test: pairedTest(differences) }];
  });
  const known = tests.filter(({ test }) => test.pValue !== null);
  const adjusted = holm(known.flatMap(({ test }) => test.pValue ?? []));
  return tests.map((one) => {
    const { arm, reference, test } = one;
    const position = known.indexOf(one);
    const corrected = position < 0 ? null : at(adjusted, position);
    return {
      grid: name,
      column: id,
      arm: arm.name,
      baseline: reference.name,
      ...test,
      adjusted: corrected,
      verdict: verdictOn(test, corrected, { lowerIsBetter }),
    };
  });
}

/** Differences of two arms, seed by seed. */
function differencesOf(arm: ArmResult, reference: ArmResult, column: string): number[] {
  return arm.rows.flatMap((row) => {
    const other = reference.rows.find(({ seed }) => seed === row.seed);
    const [own, base] = [row.metrics[column], other?.metrics[column]];
    return own === undefined || base === undefined ? [] : [own.value - base.value];
  });
}
