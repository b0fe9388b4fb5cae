/** Laws of the error by data and compute, each with its source. Parameters are unconstrained inside. */
import { upperMedian } from '../../base/statistics.js';

/** A law that predicts an error, 0 … 1, from a point. */
export interface Law<X> {
  readonly name: string;
  readonly formula: string;
  /** Names of the values of {@link natural}. */
  readonly parameters: readonly string[];
  /** Starts of the search, in unconstrained parameters. */
  readonly starts: (points: readonly FitPoint<X>[]) => readonly (readonly number[])[];
  /** The error at a point. */
  readonly predict: (parameters: readonly number[], x: X) => number;
  /** Parameters in the units of the formula. */
  readonly natural: (parameters: readonly number[]) => readonly number[];
}

/** A measured error. */
export interface FitPoint<X> {
  readonly x: X;
  /** Above 0. */
  readonly error: number;
  /** Points of one group, such as the seeds of an arm, are resampled together. Default: each alone. */
  readonly group?: string;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Errors that no amount of data removes are below the least one that was measured. */
function floorsBelow(points: readonly FitPoint<unknown>[]): number[] {
  const least = Math.min(...points.map(({ error }) => error));
  return [0.05, 0.5, 0.9].map((part) => part * least);
}

function logit(p: number): number {
  return Math.log(p / (1 - p));
}

/**
 * E(x) = a·(x + b)^−c + d: a power law of samples or FLOPs with an offset, so that the error stays near
 * chance before it falls, and a floor (Nezhurina et al. 2025, arXiv 2506.04598). Written as
 * a = A·(m + b)^c with the median m of the measured x, of which the fit is better conditioned.
 */
export function powerLaw(scale: number): Law<number> {
  return {
    name: 'power law with offset',
    formula: 'E = a·(x + b)^−c + d',
    parameters: ['a', 'b', 'c', 'd'],
    starts: (points) => {
      const m = upperMedian(points.map(({ x }) => x));
      const atMiddle = upperMedian(points.map(({ error }) => error));
      return floorsBelow(points).flatMap((d) =>
        [0.01, 1].flatMap((offset) =>
          [0.15, 0.5].map((c) => [
            Math.log(Math.max(1e-6, atMiddle - d)),
            Math.log((offset * m) / scale),
            Math.log(c),
            logit(d),
          ]),
        ),
      );
    },
    predict: ([logA = 0, logB = 0, logC = 0, logitD = 0], x) => {
      const b = scale * Math.exp(logB);
      const ratio = (x + b) / (scale + b);
      return Math.exp(logA - Math.exp(logC) * Math.log(ratio)) + sigmoid(logitD);
    },
    natural: ([logA = 0, logB = 0, logC = 0, logitD = 0]) => {
      const b = scale * Math.exp(logB);
      const c = Math.exp(logC);
      return [Math.exp(logA) * (scale + b) ** c, b, c, sigmoid(logitD)];
    },
  };
}

/** A model on data that are seen once. */
export interface SizedPoint {
  /** FLOPs of a sample, or another size of the model. */
  readonly size: number;
  readonly samples: number;
}

/**
 * E(g, D) = E∞ + A·(g/g₀)^−α + B·((D + D₀)/D₁)^−β: separate terms of the model's size and of the samples
 * (Hoffmann et al. 2022, arXiv 2203.15556, equation 2), with an offset of the samples.
 *
 * @param scales - g₀ and D₁, of the measured points' order
 */
export function additiveLaw(scales: SizedPoint): Law<SizedPoint> {
  return {
    name: 'size and samples',
    formula: 'E = E∞ + A·(g/g₀)^−α + B·((D + D₀)/D₁)^−β',
    parameters: ['E∞', 'A', 'α', 'B', 'D₀', 'β'],
    starts: (points) =>
      floorsBelow(points).flatMap((floor) =>
        [0.2, 0.5].map((beta) => [
          logit(floor),
          Math.log(0.1),
          Math.log(0.3),
          Math.log(0.5),
          0,
          Math.log(beta),
        ]),
      ),
    predict: ([logitE = 0, logA = 0, logAlpha = 0, logB = 0, logD = 0, logBeta = 0], point) => {
      const size = Math.exp(logA - Math.exp(logAlpha) * Math.log(point.size / scales.size));
      const seen = point.samples / scales.samples + Math.exp(logD);
      return sigmoid(logitE) + size + Math.exp(logB - Math.exp(logBeta) * Math.log(seen));
    },
    natural: ([logitE = 0, ...logs]) => {
      const [A = 0, alpha = 0, B = 0, D = 0, beta = 0] = logs.map(Math.exp);
      return [sigmoid(logitE), A, alpha, B, D * scales.samples, beta];
    },
  };
}

/** Training on data that are repeated. */
export interface RepeatedPoint {
  /** Different pairs. */
  readonly unique: number;
  /** Samples seen, repeats included. */
  readonly samples: number;
}

/**
 * Samples that repeated ones are worth: D′ = U + U·R*·(1 − e^(−R/R*)) with R = D/U − 1 repeats of U
 * different pairs (Muennighoff et al. 2023, arXiv 2305.16264, equation 5). R* is the number of repeats
 * after which they are worth 1/e of new data.
 */
export function effectiveSamples({ unique, samples }: RepeatedPoint, repeats: number): number {
  const fresh = Math.min(unique, samples);
  const again = Math.max(0, samples / unique - 1);
  return fresh + unique * repeats * -Math.expm1(-again / repeats);
}

/**
 * E(U, D) = B·((D′ + D₀)/s)^−β + E∞ with the effective samples D′ of {@link effectiveSamples}.
 *
 * @param scale - s, of the order of the measured samples
 */
export function repeatsLaw(scale: number): Law<RepeatedPoint> {
  return {
    name: 'effective samples',
    formula: 'E = B·((D′ + D₀)/s)^−β + E∞, D′ = U + U·R*·(1 − e^(−R/R*)), R = D/U − 1',
    parameters: ['B', 'D₀', 'β', 'E∞', 'R*'],
    starts: (points) =>
      floorsBelow(points).flatMap((floor) =>
        [2, 10].flatMap((repeats) =>
          [0.2, 0.6].map((beta) => [
            Math.log(0.5),
            Math.log(0.3),
            Math.log(beta),
            logit(floor),
            Math.log(repeats),
          ]),
        ),
      ),
    predict: ([logB = 0, logD = 0, logBeta = 0, logitE = 0, logR = 0], point) => {
      const seen = effectiveSamples(point, Math.exp(logR)) / scale + Math.exp(logD);
      return Math.exp(logB - Math.exp(logBeta) * Math.log(seen)) + sigmoid(logitE);
    },
    natural: ([logB = 0, logD = 0, logBeta = 0, logitE = 0, logR = 0]) => [
      Math.exp(logB),
      scale * Math.exp(logD),
      Math.exp(logBeta),
      sigmoid(logitE),
      Math.exp(logR),
    ],
  };
}

/**
 * E after k epochs over U pairs: (U/s)^−b·a·Π_{j=1…k−1} ((j+1)/j)^(−b·δ_j) + d with utilities
 * δ_j = 2^(−j/τ), which halve every τ epochs (Goyal et al. 2024, arXiv 2404.07177, equation 4). Parts
 * of an epoch count by their fraction.
 *
 * @param scale - s, of the order of the measured samples
 */
export function utilityLaw(scale: number): Law<RepeatedPoint> {
  return {
    name: 'utility with half-life',
    formula: 'E = a·(U/s)^−b·Π ((j+1)/j)^(−b·δ_j) + d, δ_j = 2^(−j/τ)',
    parameters: ['a', 'b', 'd', 'τ'],
    starts: (points) =>
      floorsBelow(points).flatMap((floor) =>
        [1, 4, 10].flatMap((tau) =>
          [0.1, 0.4].map((b) => [Math.log(0.5), Math.log(b), logit(floor), Math.log(tau)]),
        ),
      ),
    predict: ([logA = 0, logB = 0, logitD = 0, logTau = 0], { unique, samples }) => {
      const b = Math.exp(logB);
      const passes = samples / unique;
      // Of less than one pass all is new.
      let log = Math.log(Math.min(unique, samples) / scale);
      for (let j = 1; j < passes; j++) {
        const utility = 2 ** (-j / Math.exp(logTau));
        log += utility * Math.log(Math.min(passes, j + 1) / j);
      }
      return Math.exp(logA - b * log) + sigmoid(logitD);
    },
    natural: ([logA = 0, logB = 0, logitD = 0, logTau = 0]) => [
      Math.exp(logA),
      Math.exp(logB),
      sigmoid(logitD),
      Math.exp(logTau),
    ],
  };
}
