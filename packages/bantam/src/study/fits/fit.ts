/** Fits of laws: Huber's loss on logarithms of errors, bands by the bootstrap. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { quantile } from '../../base/statistics.js';
import { CounterRng } from '../../data/index.js';
import type { Interval } from '../../eval/index.js';
import type { FitPoint, Law } from './laws.js';
import { leastSquares } from './least-squares.js';

/** Options of {@link fitLaw}. */
export interface FitOptions {
  /** δ of Huber's loss, in logarithms of the error. Default 0.02. */
  readonly delta?: number;
}

/** A law with its parameters. */
export interface FittedLaw<X> {
  readonly law: Law<X>;
  /** Unconstrained parameters of the law. */
  readonly inner: readonly number[];
  /** Parameters by name, in the units of the formula. */
  readonly parameters: Readonly<Record<string, number>>;
  readonly points: readonly FitPoint<X>[];
  /** ln(measured) − ln(predicted) of each point. */
  readonly residuals: readonly number[];
  readonly isConverged: boolean;
}

/**
 * Fits a law to measured errors by Huber's loss on ln(measured) − ln(predicted).
 *
 * @throws BantamError for fewer points than parameters, or an error that is not above 0.
 */
export function fitLaw<X>(
  law: Law<X>,
  points: readonly FitPoint<X>[],
  { delta = 0.02 }: FitOptions = {},
): FittedLaw<X> {
  if (points.length < law.parameters.length) {
    throw new BantamError(
      `The law "${law.name}" has ${law.parameters.length} parameters and needs as many points; there are ${points.length}.`,
    );
  }
  const wrong = points.find(({ error }) => !(error > 0));
  if (wrong !== undefined) {
    throw new BantamError(`An error of ${wrong.error} has no logarithm; leave that point out.`);
  }
  const fit = search(law, points, { delta, starts: law.starts(points) });
  const natural = law.natural(fit.parameters);
  return {
    law,
    inner: fit.parameters,
    parameters: Object.fromEntries(law.parameters.map((name, i) => [name, at(natural, i)])),
    points,
    residuals: fit.residuals,
    isConverged: fit.isConverged,
  };
}

function search<X>(
  law: Law<X>,
  points: readonly FitPoint<X>[],
  { delta, starts }: { delta: number; starts: readonly (readonly number[])[] },
) {
  return leastSquares({
    starts,
    delta,
    residuals: (parameters) =>
      points.map(({ x, error }) => Math.log(error) - Math.log(law.predict(parameters, x))),
  });
}

/** Options of {@link bootstrapFit}. */
export interface BootstrapFitOptions extends FitOptions {
  /** Fits of resampled points. Default 200. */
  readonly resamples?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** A prediction with its band. */
export interface Prediction {
  readonly error: number;
  readonly band: Interval;
}

/** A fit with the fits of resampled points, which say how sure it is. */
export interface BootstrappedFit<X> extends FittedLaw<X> {
  /** 95 % intervals of the parameters. */
  readonly intervals: Readonly<Record<string, Interval>>;
  /**
   * The error at a point, and a band in which a new measurement falls with the given probability
   * (default 0.8): resampled fits, times resampled residuals.
   */
  readonly predict: (x: X, confidence?: number) => Prediction;
}

/**
 * Fits a law and bootstraps it (Efron 1979) over groups and points: groups, such as the arms of a
 * study, are sampled with replacement, then in each group its points, such as seeds. Resamples with fewer
 * different points than parameters are sampled again. Each resampled fit starts at the fit of all points.
 *
 * @throws BantamError as {@link fitLaw}.
 */
export function bootstrapFit<X>(
  law: Law<X>,
  points: readonly FitPoint<X>[],
  { resamples = 200, seed = 0, delta = 0.02 }: BootstrapFitOptions = {},
): BootstrappedFit<X> {
  const fit = fitLaw(law, points, { delta });
  const groups = groupsOf(points);
  const random = new CounterRng({ seed, purpose: 'bootstrap of a fit', epoch: 0 });
  const fits = Array.from({ length: resamples }, () => {
    const sample = resampled(groups, law.parameters.length, random);
    return search(law, sample, { delta, starts: [fit.inner] }).parameters;
  });
  // Residuals of a fit are smaller than those of new points, by the parameters that were fitted.
  const n = points.length;
  const free = Math.max(1, n - law.parameters.length);
  const residuals = fit.residuals.map((residual) => residual * Math.sqrt(n / free));
  const noise = fits.map(() => at(residuals, random.integer(n)));
  const naturals = fits.map((parameters) => law.natural(parameters));
  const intervals = law.parameters.map((name, i) => {
    return [
      name,
      quantiles(
        naturals.map((values) => at(values, i)),
        0.95,
      ),
    ] as const;
  });
  return {
    ...fit,
    intervals: Object.fromEntries(intervals),
    predict: (x, confidence = 0.8) => {
      const predicted = fits.map(
        (parameters, i) => law.predict(parameters, x) * Math.exp(at(noise, i)),
      );
      return { error: law.predict(fit.inner, x), band: quantiles(predicted, confidence) };
    },
  };
}

function groupsOf<X>(points: readonly FitPoint<X>[]): (readonly FitPoint<X>[])[] {
  const groups = new Map<string, FitPoint<X>[]>();
  for (const [i, point] of points.entries()) {
    const name = point.group ?? `point ${i}`;
    const group = groups.get(name) ?? [];
    group.push(point);
    groups.set(name, group);
  }
  return [...groups.values()];
}

function resampled<X>(
  groups: readonly (readonly FitPoint<X>[])[],
  least: number,
  random: CounterRng,
): FitPoint<X>[] {
  for (;;) {
    const sample = groups.flatMap(() => {
      const group = at(groups, random.integer(groups.length));
      return group.map(() => at(group, random.integer(group.length)));
    });
    if (new Set(sample).size >= least) return sample;
  }
}

/** The quantiles between which a fraction of the values is. */
function quantiles(values: readonly number[], confidence: number): Interval {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  return [quantile(sorted, (1 - confidence) / 2), quantile(sorted, (1 + confidence) / 2)];
}
