/** Laws fitted to the results of a study, where it has enough different arms for them. */
import { at } from '../../base/at.js';
import { mean, upperMedian } from '../../base/statistics.js';
import {
  costAxes,
  lineOf,
  type ArmResult,
  type FitCurve,
  type StudyFit,
  type StudySummary,
} from '../results.js';
import type { AxisName } from '../config/axes.js';
import { bootstrapFit, type BootstrappedFit } from './fit.js';
import { powerLaw, repeatsLaw, utilityLaw, type FitPoint, type RepeatedPoint } from './laws.js';

/** Points of a curve, of which a straight line between two is not told from the law. */
const CURVE_POINTS = 33;

/** As many arms as a law has parameters can be met exactly, which says nothing about it. */
function isEnough(groups: number, parameters: number): boolean {
  return groups > parameters;
}

/**
 * Fits laws to a study: of grids that vary quantity and epochs or budget, the two laws of repeated data;
 * of others with at least six budgets, a power law of FLOPs for each series; each with the curves that a
 * figure draws through its arms.
 */
export function fitStudy({ grids, arms, columns }: StudySummary): StudyFit[] {
  return grids.flatMap(({ name, varied }) => {
    const own = arms.filter(({ grid }) => grid === name);
    const isRepeated =
      varied.includes('quantity') && varied.some((axis) => costAxes.includes(axis));
    // The laws of repeats are fitted to all quantities together.
    const along: readonly AxisName[] = isRepeated ? [...costAxes, 'quantity'] : costAxes;
    return columns
      .filter(({ lowerIsBetter }) => !lowerIsBetter)
      .flatMap(({ id }) =>
        [...linesOf(own, varied, along)].flatMap(([series, members]) => {
          const where = { grid: name, column: id, series };
          const lines = linesOf(members, varied, costAxes);
          return isRepeated ? repeatFits(members, where, lines) : powerFit(members, where, lines);
        }),
      );
  });
}

type Where = Pick<StudyFit, 'grid' | 'column' | 'series'>;

/** Arms by {@link lineOf}. */
type Lines = ReadonlyMap<string, readonly ArmResult[]>;

function linesOf(
  arms: readonly ArmResult[],
  varied: readonly AxisName[],
  along: readonly AxisName[],
): Lines {
  const lines = new Map<string, ArmResult[]>();
  for (const arm of arms) {
    const name = lineOf(arm, varied, along);
    lines.set(name, [...(lines.get(name) ?? []), arm]);
  }
  return lines;
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

function repeatFits(arms: readonly ArmResult[], where: Where, lines: Lines): StudyFit[] {
  const points = pointsOf(arms, where.column, ({ samples, epochs }): RepeatedPoint => {
    return { unique: samples / epochs, samples };
  });
  const groups = new Set(points.map(({ group }) => group)).size;
  if (groups === 0) return [];
  const most = points.reduce(
    (best, { x }) => (x.samples >= best.samples && x.unique >= best.unique ? x : best),
    { unique: 0, samples: 0 },
  );
  const scale = upperMedian(points.map(({ x }) => x.samples));
  const beyond = [2, 4].map((factor) => ({
    at: `${factor} times the samples of the largest run, on the same data`,
    x: { unique: most.unique, samples: factor * most.samples },
  }));
  return [repeatsLaw(scale), utilityLaw(scale)]
    .filter(({ parameters }) => isEnough(groups, parameters.length))
    .map((law) => {
      const fit = bootstrapFit(law, points);
      const curves = curvesOf(
        lines,
        ({ samples }) => samples,
        (samples, members) => {
          const unique = mean(members.map((arm) => arm.samples / arm.epochs));
          return { samples, epochs: samples / unique, ...fit.predict({ unique, samples }) };
        },
      );
      return described(fit, { ...where, curves }, beyond);
    });
}

function powerFit(arms: readonly ArmResult[], where: Where, lines: Lines): StudyFit[] {
  const points = pointsOf(arms, where.column, ({ flops }) => flops);
  const distinct = new Set(points.map(({ x }) => x)).size;
  if (!isEnough(Math.min(arms.length, distinct), 5)) return [];
  const most = Math.max(...points.map(({ x }) => x));
  const beyond = [2, 4].map((factor) => ({
    at: `${factor} times the FLOPs of the largest run`,
    x: factor * most,
  }));
  const law = powerLaw(upperMedian(points.map(({ x }) => x)));
  const fit = bootstrapFit(law, points);
  const curves = curvesOf(
    lines,
    (arm) => arm.flops,
    (flops) => ({ flops, ...fit.predict(flops) }),
  );
  return [described(fit, { ...where, curves }, beyond)];
}

/** Curves through the costs of each line, evenly spaced on a logarithmic axis. */
function curvesOf(
  lines: Lines,
  costOf: (arm: ArmResult) => number,
  pointAt: (cost: number, arms: readonly ArmResult[]) => FitCurve['points'][number],
): FitCurve[] {
  return [...lines].map(([line, arms]) => {
    const costs = arms.map(costOf);
    const [least, most] = [Math.min(...costs), Math.max(...costs)];
    const points = Array.from({ length: CURVE_POINTS }, (_, i) =>
      pointAt(least * (most / least) ** (i / (CURVE_POINTS - 1)), arms),
    );
    return { line, points };
  });
}

function described<X>(
  fit: BootstrappedFit<X>,
  where: Where & Pick<StudyFit, 'curves'>,
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
