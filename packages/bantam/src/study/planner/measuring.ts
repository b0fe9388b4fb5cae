/** Timing of a plan: the kinds that may hold the best candidate, and the loading of their images. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { Candidate } from './candidates.js';
import { loadName, type Field } from './field.js';
import { availableMemory, lackOfMemory } from './memory.js';
import type { PlanStateFile } from './plan-state.js';
import {
  measureKinds,
  measureLoading,
  secondsOfKind,
  throwIfInterrupted,
  timingWithin,
} from './rates.js';

/** Parts of {@link Measuring}. */
export interface MeasuringOptions {
  readonly field: Field;
  /** Keeps the measured rates. */
  readonly state: PlanStateFile;
  /** No measurement begins after so many seconds, or after {@link measuringFraction} of the budget. */
  readonly longest: number;
  readonly signal: AbortSignal | undefined;
  readonly onStage: (message: string) => void;
}

/** Fraction of the budget after which no measurement of a rate begins. */
const measuringFraction = 0.05;

/** Kinds that are measured at a time, before it is asked again which ones matter. */
const kindsAtOnce = 3;

/** Kinds with a smaller chance to hold the best candidate are not worth a measurement. */
const smallestChance = 0.02;

/** The batch at which kinds are measured, if they fit the memory. */
const usualBatch = 128;

/** The measurements of a plan, whose results its state keeps. */
export class Measuring {
  readonly #options: MeasuringOptions;
  /** Seconds after which no measurement begins. */
  readonly #allowance: number;

  constructor(options: MeasuringOptions) {
    this.#options = options;
    this.#allowance = Math.min(options.longest, measuringFraction * options.field.total);
  }

  /**
   * Measures the kinds of candidates that may be the best, the most likely ones first, and the loading
   * of images, within a part of the budget. Finished measurements are kept if the signal comes.
   *
   * @throws BantamError if no candidate fits the memory or can be trained, or the signal came.
   */
  async measureLikely(): Promise<void> {
    const { field } = this.#options;
    field.excludeByEstimate();
    await this.#timed(async (elapsed) => {
      for (;;) {
        const kinds = this.#kindsToMeasure();
        const isFirst = field.measured().length === 0;
        const isOver = elapsed() + secondsOfKind > this.#allowance;
        if (kinds.length === 0 || (!isFirst && isOver)) break;
        await this.#measureKinds(kinds, this.#allowance - elapsed());
      }
      this.#requireOne();
      await this.#measureLoading(elapsed);
    });
  }

  /** Measures the kinds of some candidates, which are to be piloted. */
  async measureFor(candidates: readonly number[]): Promise<void> {
    const { field, state } = this.#options;
    const kinds = new Set(candidates.map((i) => at(field.candidates, i).kind));
    const missing = [...kinds].filter((kind) => state.current.rates[kind] === undefined);
    await this.#timed(() => this.#measureKinds(missing, Infinity));
  }

  /** Measures, and counts the seconds of measuring so far. */
  async #timed(measure: (elapsed: () => number) => Promise<void>): Promise<void> {
    const { field, state } = this.#options;
    const begin = performance.now();
    const before = field.measuringSeconds;
    const elapsed = (): number => before + (performance.now() - begin) / 1000;
    try {
      await measure(elapsed);
    } finally {
      state.save({ measuringSeconds: elapsed() });
    }
    field.excludeByMeasurement();
  }

  /** @param allowance - Seconds after which no further kind is begun */
  async #measureKinds(kinds: readonly string[], allowance: number): Promise<void> {
    const { field, state, signal, onStage } = this.#options;
    const { train, digest } = field.data;
    const found = await measureKinds(
      kinds.map((kind) => this.#representative(kind)),
      {
        data: train,
        digest,
        memory: field.memory,
        allowance,
        timing: timingWithin(this.#allowance),
        signal,
        onProgress: onStage,
      },
    );
    state.save({ rates: { ...state.current.rates, ...Object.fromEntries(found) } });
    throwIfInterrupted(signal);
  }

  /** Kinds without a rate that most probably hold the best candidate. */
  #kindsToMeasure(): string[] {
    const { field, state } = this.#options;
    if (field.measured().length === 0) return this.#firstKind();
    const chances = new Map<string, number>();
    for (const { candidate, chance } of field.outlook()) {
      chances.set(candidate.kind, (chances.get(candidate.kind) ?? 0) + chance);
    }
    return [...chances]
      .filter(([kind, chance]) => {
        return chance >= smallestChance && state.current.rates[kind] === undefined;
      })
      .sort(([, a], [, b]) => b - a)
      .map(([kind]) => kind)
      .slice(0, kindsAtOnce);
  }

  /**
   * The kind to begin with: the first, and if that cannot be trained the smallest. If the smallest does
   * not fit either, none does.
   */
  #firstKind(): string[] {
    const { field, state } = this.#options;
    const tried = Object.keys(state.current.rates);
    const open = field.candidates.flatMap(({ kind }, i) =>
      field.isExcluded(i) ? [] : [{ kind, estimate: field.estimateOf(i) }],
    );
    const smallest = open.toSorted((a, b) => a.estimate - b.estimate)[0]?.kind;
    const next = tried.length === 0 ? open[0]?.kind : smallest;
    return next === undefined || tried.includes(next) ? [] : [next];
  }

  /** @throws BantamError if no kind could be measured. */
  #requireOne(): void {
    const { field, state } = this.#options;
    if (field.measured().length > 0) return;
    const rates = Object.values(state.current.rates);
    // The same command tries again, with other programs closed perhaps.
    state.save({ rates: {} });
    const [failure] = rates.flatMap((rate) => ('failure' in rate ? [rate.failure] : []));
    if (failure !== undefined) throw new BantamError(failure);
    const needed = rates.flatMap((rate) => ('failure' in rate ? [] : [rate.bytes]));
    throw lackOfMemory(Math.min(...needed), field.memory);
  }

  /** Measures the loading of images for the augmentations of likely candidates. */
  async #measureLoading(elapsed: () => number): Promise<void> {
    const { field, state, signal, onStage } = this.#options;
    const likely = field.outlook().sort((a, b) => b.chance - a.chance);
    for (const { candidate, chance } of likely) {
      const name = loadName(candidate);
      const { loads } = state.current;
      if (loads[name] !== undefined) continue;
      const isFirst = Object.keys(loads).length === 0;
      if (!isFirst && (chance < smallestChance || elapsed() > this.#allowance)) break;
      onStage('timing the loading of images');
      const load = await measureLoading(field.data.source, candidate, {
        digest: field.data.digest,
        timing: timingWithin(this.#allowance),
        signal,
      });
      state.save({ loads: { ...loads, [name]: load } });
    }
  }

  /**
   * The candidate by which a kind is measured: plain, at the usual batch or the nearest to it whose
   * estimate fits the memory, else at the smallest.
   */
  #representative(kind: string): Candidate {
    const { field } = this.#options;
    const own = field.candidates.flatMap((candidate, i) =>
      candidate.kind === kind && candidate.quality === 1
        ? [{ candidate, estimate: field.estimateOf(i) }]
        : [],
    );
    const available = availableMemory(field.memory);
    const fitting = own.filter(({ estimate }) => estimate <= available);
    const smallestBatch = Math.min(...own.map(({ candidate }) => candidate.batch));
    const smallest = own.filter(({ candidate }) => candidate.batch === smallestBatch);
    const [first, ...others] = (fitting.length > 0 ? fitting : smallest).map(
      ({ candidate }) => candidate,
    );
    if (first === undefined) throw new RangeError(`There is no kind ${kind}.`);
    const distance = ({ batch }: Candidate): number => Math.abs(Math.log2(batch / usualBatch));
    return others.reduce((best, one) => (distance(one) < distance(best) ? one : best), first);
  }
}
