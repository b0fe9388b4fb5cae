/** Laws fitted to the results of a study, where it has enough different arms for them. */
import { at } from '../../base/at.js';
import type { ArmResult, StudyFit, StudySummary } from '../results.js';
import type { AxisName } from '../config/axes.js';
import { bootstrapFit, type BootstrappedFit } from './fit.js';
import {
  median,
  powerLaw,
  repeatsLaw,
  utilityLaw,
  type FitPoint,
  type RepeatedPoint,
} from './laws.js';

/** As many arms as a law has parameters can be met exactly, which says nothing about it. */
function isEnough(groups: number, parameters: number): boolean {
  return groups > parameters;
}

/**
 * Fits laws to a study: of grids that vary quantity and epochs or budget, the two laws of repeated data;
 * of others with at least six budgets, a power law of FLOPs for each series.
 */
export function fitStudy({ grids, arms, columns }: StudySummary): StudyFit[] {
  return grids.flatMap(({ name, varied }) => {
    const own = arms.filter(({ grid }) => grid === name);
    const isRepeated = varied.includes('quantity') && hasCosts(varied);
    return columns
      .filter(({ lowerIsBetter }) => !lowerIsBetter)
      .flatMap(({ id }) =>
        [...seriesOf(own, varied, isRepeated)].flatMap(([series, members]) => {
          const where = { grid: name, column: id, series };
          return isRepeated ? repeatFits(members, where) : powerFit(members, where);
        }),
      );
  });
}

type Where = Pick<StudyFit, 'grid' | 'column' | 'series'>;

function hasCosts(varied: readonly AxisName[]): boolean {
  return varied.includes('epochs') || varied.includes('budget');
}

/** Arms that differ in costs alone, and in quantity if repeats are fitted. */
function seriesOf(
  arms: readonly ArmResult[],
  varied: readonly AxisName[],
  isRepeated: boolean,
): Map<string, ArmResult[]> {
  const along: readonly AxisName[] = [
    'epochs',
    'budget',
    ...(isRepeated ? ['quantity' as const] : []),
  ];
  const series = new Map<string, ArmResult[]>();
  for (const arm of arms) {
    const name = varied
      .filter((axis) => !along.includes(axis))
      .map((axis) => arm.values[axis]?.label)
      .join(', ');
    series.set(name, [...(series.get(name) ?? []), arm]);
  }
  return series;
}

function pointsOf<X>(
  arms: readonly ArmResult[],
  column: string,
  x: (row: ArmResult['rows'][number]) => X,
): FitPoint<X>[] {
  return arms.flatMap(({ name, rows }) =>
    rows.flatMap((row) => {
      const value = row.metrics[column]?.value;
      // An error of 0 has no logarithm.
      return value === undefined || value >= 1
        ? []
        : [{ x: x(row), error: 1 - value, group: name }];
    }),
  );
}

function repeatFits(arms: readonly ArmResult[], where: Where): StudyFit[] {
  const points = pointsOf(arms, where.column, ({ samples, epochs }): RepeatedPoint => {
    return { unique: samples / epochs, samples };
  });
  const groups = new Set(points.map(({ group }) => group)).size;
  if (groups === 0) return [];
  const most = points.reduce(
    (best, { x }) => (x.samples >= best.samples && x.unique >= best.unique ? x : best),
    { unique: 0, samples: 0 },
  );
  const scale = median(points.map(({ x }) => x.samples));
  const beyond = [2, 4].map((factor) => ({
    at: `${factor} times the samples of the largest run, on the same data`,
    x: { unique: most.unique, samples: factor * most.samples },
  }));
  return [repeatsLaw(scale), utilityLaw(scale)]
    .filter(({ parameters }) => isEnough(groups, parameters.length))
    .map((law) => described(bootstrapFit(law, points), where, beyond));
}

function powerFit(arms: readonly ArmResult[], where: Where): StudyFit[] {
  const points = pointsOf(arms, where.column, ({ flops }) => flops);
  const distinct = new Set(points.map(({ x }) => x)).size;
  if (!isEnough(Math.min(arms.length, distinct), 5)) return [];
  const most = Math.max(...points.map(({ x }) => x));
  const beyond = [2, 4].map((factor) => ({
    at: `${factor} times the FLOPs of the largest run`,
    x: factor * most,
  }));
  const law = powerLaw(median(points.map(({ x }) => x)));
  return [described(bootstrapFit(law, points), where, beyond)];
}

function described<X>(
  fit: BootstrappedFit<X>,
  where: Where,
  beyond: readonly { readonly at: string; readonly x: X }[],
): StudyFit {
  const { law, inner, intervals, residuals, predict } = fit;
  const natural = law.natural(inner);
  const squares = residuals.reduce((sum, value) => sum + value ** 2, 0);
  return {
    ...where,
    law: law.name,
    formula: law.formula,
    parameters: Object.entries(intervals).map(([name, interval], i) => {
      return { name, value: at(natural, i), interval };
    }),
    residual: Math.sqrt(squares / residuals.length),
    residuals,
    beyond: beyond.map(({ x, ...name }) => ({ ...name, ...predict(x) })),
  };
}
