/** The candidates of a plan with their rates, memory and samples within the budget. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { RepeatedPoint } from '../fits/laws.js';
import type { Candidate, LeftOut } from './candidates.js';
import { availableMemory, lackOfMemory, tooLarge } from './memory.js';
import type { PlanData } from './plan-data.js';
import { writeState, type DecidedRung, type PlanState } from './plan-state.js';
import { chancesOfBest, Posterior, type Observation } from './posterior.js';
import type { SharedPrior } from './prior.js';
import {
  measureKinds,
  measureLoading,
  rateOf,
  secondsOfKind,
  secondsPerSample,
  throwIfInterrupted,
  timingWithin,
  type KindRate,
  type LoadTime,
} from './rates.js';

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
  /** No measurement of a rate begins after so many seconds, or after {@link measuringFraction} of the budget. */
  readonly longestMeasuring: number;
  readonly state: PlanState;
  /** File of the state. */
  readonly file: string;
}

/** Control of a measurement. */
interface MeasuringControl {
  readonly signal: AbortSignal | undefined;
  readonly onStage: (message: string) => void;
}

/** Time of a candidate's samples, and where it comes from. */
export interface SampleTime {
  readonly seconds: number;
  readonly isMeasured: boolean;
  readonly isLoaderBound: boolean;
}

/** Fraction of the budget after which no measurement of a rate begins. */
const measuringFraction = 0.05;

/**
 * Estimates of memory were up to 1.43 times what dry runs of the known models said, at large batches; those of
 * small batches, of which the smallest candidate is one, at least 0.92 times.
 */
const estimateBounds = { low: 0.65, high: 1.1 } as const;

/** Kinds that are measured at a time, before it is asked again which ones matter. */
const kindsAtOnce = 3;

/** Kinds with a smaller chance to hold the best candidate are not worth a measurement. */
const leastChance = 0.02;

/** Fraction of the time of a run that its validations and saving take. */
const besideTraining = 0.05;

/** Candidates, of which each has an index in {@link candidates}. */
export class Field {
  readonly candidates: readonly Candidate[];
  readonly shared: SharedPrior;
  readonly total: number;
  readonly data: PlanData;
  readonly #options: FieldOptions;
  /** Reasons of candidates that are left out. */
  readonly #excluded = new Map<number, string>();
  /** Bytes of candidates that do not fit the memory. */
  readonly #large = new Map<number, number>();
  #state: PlanState;
  #runSeconds: number;

  constructor(options: FieldOptions) {
    this.#options = options;
    this.candidates = options.candidates;
    this.shared = options.shared;
    this.total = options.total;
    this.data = options.data;
    this.#state = options.state;
    this.#runSeconds = options.total;
  }

  /** Time that measuring took of the budget. */
  get measuringSeconds(): number {
    return this.#state.measuringSeconds;
  }

  /** Training time of the chosen run. */
  get runSeconds(): number {
    return this.#runSeconds;
  }

  /** Sets the time that is left for the chosen run, of which some passes beside its training. */
  setRunSeconds(left: number): void {
    const seconds = (left - this.#state.measuringSeconds) * (1 - besideTraining);
    this.#runSeconds = Math.max(1, Math.round(10 * seconds) / 10);
  }

  /** Time without pilots that leaves so much training time, as {@link setRunSeconds} divides it. */
  budgetFor(runSeconds: number): number {
    return runSeconds / (1 - besideTraining) + this.#state.measuringSeconds;
  }

  get rungs(): readonly DecidedRung[] {
    return this.#state.rungs;
  }

  addRung(rung: DecidedRung): void {
    this.#save({ rungs: [...this.#state.rungs, rung] });
  }

  /** Leaves a candidate out, with the reason in a clause. */
  exclude(candidate: number, reason: string): void {
    this.#excluded.set(candidate, reason);
  }

  get excluded(): ReadonlySet<number> {
    return new Set([...this.#excluded.keys(), ...this.#large.keys()]);
  }

  #isExcluded(candidate: number): boolean {
    return this.#excluded.has(candidate) || this.#large.has(candidate);
  }

  /** Choices that are no candidates: kinds and single ones, each with its reason. */
  get leftOut(): LeftOut[] {
    const reasons = new Map<string, string>();
    for (const [i, reason] of this.#excluded) {
      const { kind, name } = at(this.candidates, i);
      const whole = this.candidates.every((one, j) => one.kind !== kind || this.#isExcluded(j));
      reasons.set(whole ? kind : name, reason);
    }
    return [
      ...this.#options.leftOut,
      ...tooLarge(this.candidates, this.#large, this.#options.memory),
      ...[...reasons].map(([name, reason]) => ({ name, reason })),
    ];
  }

  /** Indices of the candidates that fit, and whose speed is known. */
  fitting(): number[] {
    return this.candidates.flatMap((_, i) =>
      this.#isExcluded(i) || this.timeOf(i) === null ? [] : [i],
    );
  }

  /** Time of a sample; null before anything is measured. */
  timeOf(candidate: number): SampleTime | null {
    const own = at(this.candidates, candidate);
    const rate = rateOf(own, this.#measured());
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
    const rate = rateOf(own, this.#measured());
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

  /** Planned peak memory of a candidate in bytes. */
  bytesOf(candidate: number): number {
    const { kind, batch, model } = at(this.candidates, candidate);
    const known = this.#rate(kind) ?? this.#rate(this.#kinOf(model));
    if (known === undefined) return 0;
    return known.bytes + known.stepBytes * (batch / known.batch - 1);
  }

  /** The posterior of all candidates with what was observed. */
  posterior(observations: readonly Observation[]): Posterior {
    const candidates = this.candidates.map(({ prior }) => prior);
    return new Posterior({ shared: this.shared, candidates, observations });
  }

  /**
   * Measures the kinds of candidates that may be the best, the most likely ones first, and the loading
   * of images, within a part of the budget. What is measured is kept if the signal comes.
   *
   * @throws BantamError if no candidate fits the memory or can be trained, or the signal came.
   */
  async measure({ signal, onStage }: MeasuringControl): Promise<void> {
    this.#excludeByEstimate();
    const elapsed = this.#stopwatch();
    const allowance = this.#allowance();
    try {
      for (;;) {
        const kinds = this.#kindsToMeasure();
        const isFirst = this.#measured().length === 0;
        if (kinds.length === 0 || (!isFirst && elapsed() + secondsOfKind > allowance)) break;
        await this.#measureKinds(kinds, { allowance: allowance - elapsed(), signal, onStage });
      }
      this.#requireOne();
      await this.#measureLoading({ signal, onStage, isOver: () => elapsed() > allowance });
    } finally {
      this.#save({ measuringSeconds: elapsed() });
    }
    this.#excludeLarge();
  }

  /** Measures the kinds of some candidates, which are to be piloted. */
  async measureFor(candidates: readonly number[], options: MeasuringControl): Promise<void> {
    const missing = [...new Set(candidates.map((i) => at(this.candidates, i).kind))].filter(
      (kind) => this.#state.rates[kind] === undefined,
    );
    const elapsed = this.#stopwatch();
    try {
      await this.#measureKinds(missing, { ...options, allowance: Infinity });
    } finally {
      this.#save({ measuringSeconds: elapsed() });
    }
    this.#excludeLarge();
  }

  /** Seconds of measuring so far, from now on. */
  #stopwatch(): () => number {
    const begin = performance.now();
    const before = this.#state.measuringSeconds;
    return () => before + (performance.now() - begin) / 1000;
  }

  /** Seconds after which no measurement begins. */
  #allowance(): number {
    return Math.min(this.#options.longestMeasuring, measuringFraction * this.total);
  }

  async #measureKinds(
    kinds: readonly string[],
    { allowance, signal, onStage }: MeasuringControl & { readonly allowance: number },
  ): Promise<void> {
    const { data, memory } = this.#options;
    const found = await measureKinds(
      kinds.map((kind) => this.#representative(kind)),
      {
        data: data.train,
        digest: data.digest,
        memory,
        allowance,
        timing: timingWithin(this.#allowance()),
        signal,
        onProgress: onStage,
      },
    );
    this.#save({ rates: { ...this.#state.rates, ...Object.fromEntries(found) } });
    throwIfInterrupted(signal);
  }

  /** Kinds without a rate that most probably hold the best candidate. */
  #kindsToMeasure(): string[] {
    if (this.#measured().length === 0) return this.#firstKind();
    const chances = this.#chancesOfKinds();
    return [...chances]
      .filter(([kind, chance]) => chance >= leastChance && this.#state.rates[kind] === undefined)
      .sort(([, a], [, b]) => b - a)
      .map(([kind]) => kind)
      .slice(0, kindsAtOnce);
  }

  /**
   * The kind to begin with: the first, and if that cannot be trained the smallest. If the smallest does
   * not fit either, none does.
   */
  #firstKind(): string[] {
    const tried = Object.keys(this.#state.rates);
    const open = this.candidates.flatMap(({ kind }, i) =>
      this.#isExcluded(i) ? [] : [{ kind, estimate: this.#estimateOf(i) }],
    );
    const smallest = open.toSorted((a, b) => a.estimate - b.estimate)[0]?.kind;
    const next = tried.length === 0 ? open[0]?.kind : smallest;
    return next === undefined || tried.includes(next) ? [] : [next];
  }

  #chancesOfKinds(): Map<string, number> {
    const fitting = this.fitting();
    const posterior = this.posterior([]);
    const chances = chancesOfBest(fitting.map((i) => posterior.predict(i, this.pointOf(i))));
    const kinds = new Map<string, number>();
    for (const [position, i] of fitting.entries()) {
      const { kind } = at(this.candidates, i);
      kinds.set(kind, (kinds.get(kind) ?? 0) + at(chances, position));
    }
    return kinds;
  }

  /** @throws BantamError if no kind could be measured. */
  #requireOne(): void {
    if (this.#measured().length > 0) return;
    const rates = Object.values(this.#state.rates);
    // The same command tries again, with other programs closed perhaps.
    this.#save({ rates: {} });
    const [failure] = rates.flatMap((rate) => ('failure' in rate ? [rate.failure] : []));
    if (failure !== undefined) throw new BantamError(failure);
    const needed = rates.flatMap((rate) => ('failure' in rate ? [] : [rate.bytes]));
    throw lackOfMemory(Math.min(...needed), this.#options.memory);
  }

  /**
   * Leaves out candidates that cannot fit the memory, before one is tried.
   *
   * @throws BantamError if none is left.
   */
  #excludeByEstimate(): void {
    const { estimates, memory } = this.#options;
    const available = availableMemory(memory);
    for (const [i, estimate] of estimates.entries()) {
      if (estimateBounds.low * estimate > available) this.#large.set(i, estimate);
    }
    if (this.#large.size < this.candidates.length) return;
    throw lackOfMemory(estimateBounds.high * Math.min(...estimates), memory);
  }

  #estimateOf(candidate: number): number {
    return at(this.#options.estimates, candidate);
  }

  /** Measures the loading of images for the augmentations of likely candidates. */
  async #measureLoading({
    signal,
    onStage,
    isOver,
  }: MeasuringControl & { readonly isOver: () => boolean }): Promise<void> {
    const fitting = this.fitting();
    const posterior = this.posterior([]);
    const chances = chancesOfBest(fitting.map((i) => posterior.predict(i, this.pointOf(i))));
    const likely = fitting
      .map((i, position) => ({ candidate: at(this.candidates, i), chance: at(chances, position) }))
      .sort((a, b) => b.chance - a.chance);
    for (const { candidate, chance } of likely) {
      const name = loadName(candidate);
      if (this.#state.loads[name] !== undefined) continue;
      const isFirst = Object.keys(this.#state.loads).length === 0;
      if (!isFirst && (chance < leastChance || isOver())) break;
      onStage('timing the loading of images');
      const timing = timingWithin(this.#allowance());
      const load = await measureLoading(this.data.source, candidate, {
        digest: this.data.digest,
        timing,
        signal,
      });
      this.#save({ loads: { ...this.#state.loads, [name]: load } });
    }
  }

  /** Candidates whose kind failed or does not fit the memory, at their batch or at all. */
  #excludeLarge(): void {
    const available = availableMemory(this.#options.memory);
    for (const [i, { kind }] of this.candidates.entries()) {
      const rate = this.#state.rates[kind];
      if (rate === undefined) continue;
      if ('failure' in rate) this.exclude(i, `it cannot be trained: ${rate.failure}`);
      else if (rate.samplesPerSecond === null || this.bytesOf(i) > available) {
        this.#large.set(i, this.bytesOf(i));
      }
    }
  }

  /**
   * The candidate by which a kind is measured: plain, at a batch of 128 or the nearest to it whose estimate
   * fits the memory, else at the smallest.
   */
  #representative(kind: string): Candidate {
    const own = this.candidates.flatMap((candidate, i) =>
      candidate.kind === kind && candidate.quality === 1
        ? [{ candidate, estimate: this.#estimateOf(i) }]
        : [],
    );
    const available = availableMemory(this.#options.memory);
    const fitting = own.filter(({ estimate }) => estimate <= available);
    const least = Math.min(...own.map(({ candidate }) => candidate.batch));
    const smallest = own.filter(({ candidate }) => candidate.batch === least);
    const [first, ...others] = (fitting.length > 0 ? fitting : smallest).map(
      ({ candidate }) => candidate,
    );
    if (first === undefined) throw new RangeError(`There is no kind ${kind}.`);
    const distance = ({ batch }: Candidate): number => Math.abs(Math.log2(batch / 128));
    return others.reduce((best, one) => (distance(one) < distance(best) ? one : best), first);
  }

  #measured(): { readonly candidate: Candidate; readonly rate: number }[] {
    return Object.entries(this.#state.rates).flatMap(([kind, rate]) =>
      'failure' in rate || rate.samplesPerSecond === null
        ? []
        : [{ candidate: this.#representative(kind), rate: rate.samplesPerSecond }],
    );
  }

  #rate(kind: string): KindRate | undefined {
    const rate = this.#state.rates[kind];
    return rate === undefined || 'failure' in rate ? undefined : rate;
  }

  /** A measured kind of a model, or of any. */
  #kinOf(model: string): string {
    const kinds = this.#measured().map(({ candidate }) => candidate);
    return (kinds.find((one) => one.model === model) ?? kinds[0])?.kind ?? '';
  }

  #loadOf(candidate: Candidate): LoadTime {
    const own = this.#state.loads[loadName(candidate)];
    return own ?? Object.values(this.#state.loads)[0] ?? { first: 0, again: 0 };
  }

  #save(changes: Partial<PlanState>): void {
    this.#state = { ...this.#state, ...changes };
    writeState(this.#options.file, this.#state);
  }
}

function loadName({ augment, imageSize }: Candidate): string {
  return `${augment} at ${imageSize}`;
}
