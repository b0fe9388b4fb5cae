/** The candidates of a plan: which of them fit, and the time, memory and learning curve of each. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { RepeatedPoint } from '../fits/laws.js';
import type { Candidate, LeftOut } from './candidates.js';
import { availableMemory, lackOfMemory, tooLarge } from './memory.js';
import type { PlanData } from './plan-data.js';
import type { PlanStateFile } from './plan-state.js';
import { chancesOfBest, Posterior, type Observation, type PredictedMetric } from './posterior.js';
import type { SharedPrior } from './prior.js';
import { rateOf, secondsPerSample, type KindRate, type LoadTime } from './rates.js';

/** Parts of a {@link Field}. */
export interface FieldOptions {
  readonly candidates: readonly Candidate[];
  readonly leftOut: readonly LeftOut[];
  readonly data: PlanData;
  readonly shared: SharedPrior;
  /** Seconds of the whole budget. */
  readonly total: number;
  /** Memory that training may take in GB; 0: all. */
  readonly memory: number;
  /** Estimated memory of each candidate in bytes. */
  readonly estimates: readonly number[];
  /** Holds the measured rates. */
  readonly state: PlanStateFile;
}

/** Time of a candidate's samples, and where it comes from. */
export interface SampleTime {
  readonly seconds: number;
  readonly isMeasured: boolean;
  readonly isLoaderBound: boolean;
}

/** A candidate with the metric that it would reach. */
export interface Outlook {
  readonly index: number;
  readonly candidate: Candidate;
  readonly point: RepeatedPoint;
  readonly predicted: PredictedMetric;
  /** Chance that it is the best of all that fit. */
  readonly chance: number;
}

/**
 * Estimates of memory were up to 1.43 times what dry runs of the known models said, at large batches; those of
 * small batches, of which the smallest candidate is one, at least 0.92 times.
 */
const estimateBounds = { low: 0.65, high: 1.1 } as const;

/** Fraction of the time of a run that its validations and saving take. */
const besideTraining = 0.05;

/** Candidates, of which each has an index in {@link candidates}. */
export class Field {
  readonly candidates: readonly Candidate[];
  readonly shared: SharedPrior;
  readonly total: number;
  readonly data: PlanData;
  readonly memory: number;
  readonly #options: FieldOptions;
  /** Reasons of candidates that are left out. */
  readonly #excluded = new Map<number, string>();
  /** Bytes of candidates that do not fit the memory. */
  readonly #large = new Map<number, number>();
  #runSeconds: number;

  constructor(options: FieldOptions) {
    this.#options = options;
    this.candidates = options.candidates;
    this.shared = options.shared;
    this.total = options.total;
    this.data = options.data;
    this.memory = options.memory;
    this.#runSeconds = options.total;
  }

  /** Time that measuring took of the budget. */
  get measuringSeconds(): number {
    return this.#options.state.current.measuringSeconds;
  }

  /** Cores that other processes used before speeds were timed, at most. */
  get others(): number {
    const { rates } = this.#options.state.current;
    return Math.max(0, ...Object.values(rates).map((one) => ('failure' in one ? 0 : one.others)));
  }

  /** Training time of the chosen run. */
  get runSeconds(): number {
    return this.#runSeconds;
  }

  /** Sets the time that is left for the chosen run, of which some passes beside its training. */
  setRunSeconds(left: number): void {
    const seconds = (left - this.measuringSeconds) * (1 - besideTraining);
    this.#runSeconds = Math.max(1, Math.round(10 * seconds) / 10);
  }

  /** Time without pilots that leaves so much training time, as {@link setRunSeconds} divides it. */
  budgetFor(runSeconds: number): number {
    return runSeconds / (1 - besideTraining) + this.measuringSeconds;
  }

  /**
   * The index of a candidate that the state names.
   *
   * @throws BantamError if there is none of this name.
   */
  indexOf(name: string): number {
    const index = this.candidates.findIndex((one) => one.name === name);
    if (index === -1) throw this.#options.state.damaged();
    return index;
  }

  /** Leaves a candidate out, with the reason in a clause. */
  exclude(candidate: number, reason: string): void {
    this.#excluded.set(candidate, reason);
  }

  isExcluded(candidate: number): boolean {
    return this.#excluded.has(candidate) || this.#large.has(candidate);
  }

  /**
   * Leaves out candidates that cannot fit the memory, before one is tried.
   *
   * @throws BantamError if none is left.
   */
  excludeByEstimate(): void {
    const { estimates } = this.#options;
    const available = availableMemory(this.memory);
    for (const [i, estimate] of estimates.entries()) {
      if (estimateBounds.low * estimate > available) this.#large.set(i, estimate);
    }
    if (this.#large.size < this.candidates.length) return;
    throw lackOfMemory(estimateBounds.high * Math.min(...estimates), this.memory);
  }

  /** Leaves out candidates whose kind failed, or that do not fit the memory at their batch. */
  excludeByMeasurement(): void {
    const available = availableMemory(this.memory);
    for (const [i, { kind, batch }] of this.candidates.entries()) {
      const rate = this.#options.state.current.rates[kind];
      if (rate === undefined) continue;
      if ('failure' in rate) {
        this.exclude(i, `it cannot be trained: ${rate.failure}`);
        continue;
      }
      const wasTooLarge = rate.samplesPerSecond === null && batch >= rate.batch;
      if (wasTooLarge || this.bytesOf(i) > available) this.#large.set(i, this.bytesOf(i));
    }
  }

  /** @throws BantamError if no candidate is left, with the reason of one. */
  requireFitting(): void {
    if (this.fitting().length > 0) return;
    const [reason] = this.#excluded.values();
    if (this.#large.size > 0) throw lackOfMemory(Math.min(...this.#large.values()), this.memory);
    throw new BantamError(`No candidate can be trained: ${reason ?? 'none was timed.'}`);
  }

  /** Choices that are no candidates: kinds and single ones, each with its reason. */
  get leftOut(): LeftOut[] {
    const reasons = new Map<string, string>();
    for (const [i, reason] of this.#excluded) {
      const { kind, name } = at(this.candidates, i);
      const isWhole = this.candidates.every((one, j) => one.kind !== kind || this.isExcluded(j));
      reasons.set(isWhole ? kind : name, reason);
    }
    return [
      ...this.#options.leftOut,
      ...tooLarge(this.candidates, this.#large, this.memory),
      ...[...reasons].map(([name, reason]) => ({ name, reason })),
    ];
  }

  /** Indices of the candidates that fit, and whose speed is known. */
  fitting(): number[] {
    return this.candidates.flatMap((_, i) =>
      this.isExcluded(i) || this.timeOf(i) === null ? [] : [i],
    );
  }

  /** Time of a sample; null before anything is measured. */
  timeOf(candidate: number): SampleTime | null {
    const own = at(this.candidates, candidate);
    const rate = rateOf(own, this.measured());
    if (rate === null) return null;
    const { samplesPerSecond, isMeasured } = rate;
    const load = this.#loadOf(own);
    const pairs = own.quality * this.data.pairs;
    const epochs = (samplesPerSecond * this.#runSeconds) / pairs;
    return { ...secondsPerSample({ samplesPerSecond, load, epochs }), isMeasured };
  }

  /**
   * Time of an image and its caption in the evaluation of a pilot: a decoded image, and a forward pass in
   * float32, which takes about half of a training step in bf16.
   */
  evaluationSecondsOf(candidate: number): number {
    const own = at(this.candidates, candidate);
    const rate = rateOf(own, this.measured());
    return this.#loadOf(own).first + (rate === null ? 0 : 0.5 / rate.samplesPerSecond);
  }

  /** Steps of a candidate's run. */
  stepsOf(candidate: number): number {
    const time = this.timeOf(candidate);
    return time === null
      ? 0
      : this.#runSeconds / time.seconds / at(this.candidates, candidate).batch;
  }

  /** Pairs and samples of a candidate's run of some seconds, in whole steps. */
  pointOf(candidate: number, seconds = this.#runSeconds, perSample?: number): RepeatedPoint {
    const { batch, quality } = at(this.candidates, candidate);
    const each = perSample ?? this.timeOf(candidate)?.seconds ?? Infinity;
    const steps = Math.max(1, Math.floor(seconds / each / batch + 1e-9));
    return { unique: Math.max(1, Math.round(quality * this.data.pairs)), samples: steps * batch };
  }

  /** Estimated peak memory of a candidate in bytes, before anything is measured. */
  estimateOf(candidate: number): number {
    return at(this.#options.estimates, candidate);
  }

  /** Peak memory of a candidate in bytes: as its kind or another of its model was planned, or estimated. */
  bytesOf(candidate: number): number {
    const { kind, batch, model } = at(this.candidates, candidate);
    const ofModel = this.candidates.filter((one) => one.model === model);
    const [known] = [kind, ...ofModel.map((one) => one.kind)].flatMap((one) => this.#rate(one));
    if (known === undefined) return this.estimateOf(candidate);
    return known.bytes + known.stepBytes * (batch / known.batch - 1);
  }

  /** Kinds whose speed was measured, each by one of its candidates, and samples per second. */
  measured(): { readonly candidate: Candidate; readonly rate: number }[] {
    const { rates } = this.#options.state.current;
    return Object.keys(rates).flatMap((kind) => {
      const candidate = this.candidates.find((one) => one.kind === kind);
      const [known] = this.#rate(kind);
      const rate = known?.samplesPerSecond ?? null;
      return candidate === undefined || rate === null ? [] : [{ candidate, rate }];
    });
  }

  /** The posterior of all candidates with what was observed. */
  posterior(observations: readonly Observation[]): Posterior {
    const candidates = this.candidates.map(({ prior }) => prior);
    return new Posterior({ shared: this.shared, candidates, observations });
  }

  /**
   * The candidates that fit, with the metric at the end of the run.
   *
   * @param perSample - Seconds of a candidate's sample; undefined: by measured rates
   */
  outlook(
    posterior = this.posterior([]),
    perSample: (candidate: number) => number | undefined = () => undefined,
  ): Outlook[] {
    const predictions = this.fitting().map((index) => {
      const point = this.pointOf(index, this.#runSeconds, perSample(index));
      const candidate = at(this.candidates, index);
      return { index, candidate, point, predicted: posterior.predict(index, point) };
    });
    const chances = chancesOfBest(predictions.map(({ predicted }) => predicted));
    return predictions.map((one, i) => ({ ...one, chance: at(chances, i) }));
  }

  /** The rate of a kind, if it has one. */
  #rate(kind: string): KindRate[] {
    const rate = this.#options.state.current.rates[kind];
    return rate === undefined || 'failure' in rate ? [] : [rate];
  }

  #loadOf(candidate: Candidate): LoadTime {
    const { loads } = this.#options.state.current;
    return loads[loadName(candidate)] ?? Object.values(loads)[0] ?? { first: 0, again: 0 };
  }
}

/** Name of the loading of a candidate's images. */
export function loadName({ augment, config }: Pick<Candidate, 'augment' | 'config'>): string {
  return `${augment} at ${config.vision.imageSize}`;
}
