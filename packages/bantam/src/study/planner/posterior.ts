/** The learning curve of every candidate by pilots and prior together, with its uncertainty. */
import { at } from '../../base/at.js';
import { quantile } from '../../base/statistics.js';
import { CounterRng } from '../../data/index.js';
import type { Interval } from '../../eval/index.js';
import { curveError, type LearningCurve } from '../fits/learning-curve.js';
import { effectiveSamples, type RepeatedPoint } from '../fits/laws.js';
import { leastSquares } from '../fits/least-squares.js';
import { warmSteps, type CandidatePrior, type SharedPrior } from './prior.js';

/** A metric that a pilot measured. */
export interface Observation {
  /** Index of the candidate. */
  readonly candidate: number;
  readonly point: RepeatedPoint;
  /** 0 … 1. */
  readonly value: number;
  /** Answers that it counts, which say how much sampling the test data changes it. */
  readonly queries: number;
}

/** A predicted metric. */
export interface PredictedMetric {
  /** By the most probable curve, without the noise of a run. */
  readonly value: number;
  /** 80 % of new runs fall into it. */
  readonly band: Interval;
  /** Draws of new runs; the seed's part of their noise is common to all candidates. */
  readonly draws: readonly number[];
}

/** Parts of {@link Posterior}. */
export interface PosteriorOptions {
  readonly shared: SharedPrior;
  readonly candidates: readonly CandidatePrior[];
  readonly observations: readonly Observation[];
  /** Default 160. */
  readonly draws?: number;
}

/** Standard deviations on the logit of a metric: other seeds, and a curve that is not quite right. */
const seedNoise = 0.1;
const misfit = 0.1;

/**
 * The same beyond the last pilot, for each factor e of effective samples: laws that were fitted to
 * published grids missed by 4 to 7 points a decade (docs/studies.md).
 */
const misfitBeyond = 0.2;

/** The same without any pilot of the candidate. */
const misfitUnseen = 0.25;

/** Names of the shared parameters, in their order. */
const sharedNames = ['lnScale', 'lnOnset', 'lnTail', 'logitFloor', 'lnRepeats'] as const;

/**
 * The posterior of the learning curves of all candidates. Parameters are those that all share, a
 * deviation of the scale for each model, and one for each candidate; a metric's logit is that of the
 * curve with Gaussian noise. Each draw is a least-squares fit to values and prior means that are
 * perturbed by their own noise (randomize-then-optimize, Bardsley et al. 2014), exact where the curve is
 * linear in its parameters. Draws depend on nothing but their arguments.
 */
export class Posterior {
  readonly #options: PosteriorOptions;
  readonly #models: readonly string[];
  /** The most probable parameters. */
  readonly #best: readonly number[];
  readonly #draws: readonly (readonly number[])[];
  /** The noise of another seed in each draw. */
  readonly #seeds: readonly number[];
  readonly #last = new Map<number, number>();

  constructor(options: PosteriorOptions) {
    this.#options = options;
    const { candidates, observations, draws = 160 } = options;
    this.#models = [...new Set(candidates.map(({ model }) => model))];
    this.#best = this.#fit(() => 0, this.#means());
    this.#draws = Array.from({ length: draws }, (_, draw) => {
      const random = new CounterRng({ seed: 0, purpose: 'posterior', epoch: draw });
      return this.#fit(() => random.normal(), this.#best);
    });
    this.#seeds = this.#draws.map((_, epoch) => {
      return seedNoise * new CounterRng({ seed: 0, purpose: 'seed of a new run', epoch }).normal();
    });
    for (const { candidate, point } of observations) {
      const seen = effectiveSamples(point, 6);
      this.#last.set(candidate, Math.max(seen, this.#last.get(candidate) ?? 0));
    }
  }

  /** The metric of a candidate after some samples, as a new run would measure it. */
  predict(candidate: number, point: RepeatedPoint): PredictedMetric {
    const last = this.#last.get(candidate);
    const beyond =
      last === undefined
        ? misfitUnseen
        : misfitBeyond * Math.max(0, Math.log(effectiveSamples(point, 6) / last));
    const own = Math.hypot(misfit, beyond);
    const draws = this.#draws.map((parameters, draw) => {
      const wrong = new CounterRng({ seed: candidate, purpose: 'misfit', epoch: draw });
      const value = this.#value(parameters, candidate, point);
      return sigmoid(logit(value) + at(this.#seeds, draw) + own * wrong.normal());
    });
    const sorted = draws.toSorted((a, b) => a - b);
    const band: Interval = [quantile(sorted, 0.1), quantile(sorted, 0.9)];
    const value = this.#value(this.#best, candidate, point);
    return { value, band, draws };
  }

  /** 80 % intervals of the reference model's curve. */
  curve(): Readonly<Record<keyof LearningCurve, Interval>> {
    const curves = this.#draws.map((parameters) => this.#shared(parameters));
    const spread = (name: keyof LearningCurve): Interval => {
      const sorted = curves.map((curve) => curve[name]).sort((a, b) => a - b);
      return [quantile(sorted, 0.1), quantile(sorted, 0.9)];
    };
    return {
      start: spread('start'),
      floor: spread('floor'),
      scale: spread('scale'),
      onset: spread('onset'),
      tail: spread('tail'),
      repeats: spread('repeats'),
    };
  }

  #means(): number[] {
    const { shared, candidates } = this.#options;
    return [
      ...sharedNames.map((name) => shared[name].mean),
      ...this.#models.map(() => 0),
      ...candidates.map(() => 0),
    ];
  }

  #deviations(): number[] {
    const { shared, candidates } = this.#options;
    const ofModel = (name: string): number =>
      at(
        candidates.filter(({ model }) => model === name),
        0,
      ).modelSd;
    return [
      ...sharedNames.map((name) => shared[name].sd),
      ...this.#models.map(ofModel),
      ...candidates.map(({ ownSd }) => ownSd),
    ];
  }

  /** The parameters that fit perturbed values and means best; those that no value depends on need no search. */
  #fit(noise: () => number, start: readonly number[]): number[] {
    const { observations } = this.#options;
    const deviations = this.#deviations();
    const targets = this.#means().map((mean, i) => mean + noise() * at(deviations, i));
    const values = observations.map(({ value, queries }) => {
      // One right and one wrong answer more keep the logit finite (Agresti and Coull 1998).
      const inside = (value * queries + 1) / (queries + 2);
      const sampling = 1 / Math.sqrt((queries + 2) * inside * (1 - inside));
      const sd = Math.hypot(seedNoise, misfit, sampling);
      return { target: logit(inside) + sd * noise(), sd };
    });
    const free = this.#observed();
    const whole = [...targets];
    const fill = (parameters: readonly number[]): readonly number[] => {
      for (const [i, position] of free.entries()) whole[position] = at(parameters, i);
      return whole;
    };
    if (observations.length === 0) return whole;
    const { parameters } = leastSquares({
      starts: [free.map((position) => at(start, position))],
      maxSteps: 25,
      residuals: (given) => {
        const all = fill(given);
        const ofPrior = free.map((position, i) => {
          return (at(given, i) - at(targets, position)) / at(deviations, position);
        });
        const ofData = observations.map(({ candidate, point }, i) => {
          const value = this.#value(all, candidate, point);
          const { target, sd } = at(values, i);
          return (logit(value) - target) / sd;
        });
        return [...ofPrior, ...ofData];
      },
    });
    return [...fill(parameters)];
  }

  /** Positions of the parameters that an observation depends on. */
  #observed(): number[] {
    const { candidates, observations } = this.#options;
    const own = new Set(observations.map(({ candidate }) => candidate));
    const models = new Set([...own].map((candidate) => at(candidates, candidate).model));
    const first = sharedNames.length;
    return [
      ...sharedNames.map((_, i) => i),
      ...this.#models.flatMap((name, i) => (models.has(name) ? [first + i] : [])),
      ...candidates.flatMap((_, i) => (own.has(i) ? [first + this.#models.length + i] : [])),
    ];
  }

  #shared(parameters: readonly number[]): LearningCurve {
    const value = (name: (typeof sharedNames)[number]): number =>
      at(parameters, sharedNames.indexOf(name));
    const { start } = this.#options.shared;
    return {
      start,
      floor: start * sigmoid(value('logitFloor')),
      scale: Math.exp(value('lnScale')),
      onset: Math.exp(value('lnOnset')),
      tail: Math.exp(value('lnTail')),
      repeats: Math.exp(value('lnRepeats')),
    };
  }

  /** The metric by some parameters. */
  #value(parameters: readonly number[], candidate: number, point: RepeatedPoint): number {
    return 1 - curveError(this.#curve(parameters, candidate, point), point);
  }

  /** The curve of runs with so many samples: the fewer their steps, the later learning sets in. */
  #curve(
    parameters: readonly number[],
    candidate: number,
    { samples }: RepeatedPoint,
  ): LearningCurve {
    const shared = this.#shared(parameters);
    const prior = at(this.#options.candidates, candidate);
    const first = sharedNames.length;
    const ofModel = at(parameters, first + this.#models.indexOf(prior.model));
    const own = at(parameters, first + this.#models.length + candidate);
    return {
      ...shared,
      floor: Math.min(0.99 * shared.start, shared.floor * prior.floor),
      scale:
        shared.scale *
        Math.exp(prior.lnScale + ofModel + own) *
        (1 + (warmSteps * prior.batch) / Math.max(1, samples)),
      repeats: shared.repeats * Math.exp(prior.lnRepeats),
    };
  }
}

/** The fraction of draws in which each of some predictions is the highest. */
export function chancesOfBest(predictions: readonly PredictedMetric[]): number[] {
  const wins = predictions.map(() => 0);
  const [first] = predictions;
  const count = first?.draws.length ?? 0;
  for (let draw = 0; draw < count; draw++) {
    let best = 0;
    for (const [i, { draws }] of predictions.entries()) {
      if (at(draws, draw) > at(at(predictions, best).draws, draw)) best = i;
    }
    wins[best] = at(wins, best) + 1;
  }
  return wins.map((won) => won / Math.max(1, count));
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** The logit of a fraction, kept away from 0 and 1, where it is infinite. */
function logit(p: number): number {
  const inside = Math.min(1 - 1e-6, Math.max(1e-6, p));
  return Math.log(inside / (1 - inside));
}
