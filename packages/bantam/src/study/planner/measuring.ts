/** Timing of a plan: the kinds that may hold the best candidate, and the loading of their images. */
import { at } from '../../base/at.js';
import type { CpuLoad } from '../../base/cpu-load.js';
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
  /** Load by other processes since planning began. */
  readonly load: CpuLoad;
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
  /** Cores that other processes used before the first measurement: later the plan's own are among them. */
  #others = 0;

  constructor(options: MeasuringOptions) {
    this.#options = options;
    this.#allowance = Math.min(options.longest, measuringFraction * options.field.total);
  }

  /**
   * Measures the kinds of candidates that may be the best, the most likely ones first, and the loading
   * of images, within a part of the budget. Finished measurements are kept if the signal comes. Once pilots
   * are decided on, nothing is measured any more: the plan resumes with the numbers that it had.
   *
   * @throws BantamError if no candidate fits the memory or can be trained, or the signal came.
   */
  async measureLikely(): Promise<void> {
    const { field, state } = this.#options;
    field.excludeByEstimate();
    this.#others = await this.#options.load.others();
    await this.#timed(async (elapsed) => {
      if (state.current.schedule !== undefined) return;
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
    field.requireFitting();
  }

  /** Measures the kinds of some candidates, which are to be piloted. */
  async measureFor(candidates: readonly number[]): Promise<void> {
    const { field } = this.#options;
    const kinds = new Set(candidates.map((i) => at(field.candidates, i).kind));
    await this.#timed(() => this.#measureKinds([...kinds], Infinity));
  }

  /** Measures, and counts the seconds of measuring so far. */
  async #timed(measure: (elapsed: () => number) => Promise<void>): Promise<void> {
    const { field, state } = this.#options;
    const begin = performance.now();
    const { rates, loads, measuringSeconds } = state.current;
    const elapsed = (): number => measuringSeconds + (performance.now() - begin) / 1000;
    try {
      await measure(elapsed);
    } finally {
      // The same command again measures nothing, and leaves the run as long as it was.
      const isNew = state.current.rates !== rates || state.current.loads !== loads;
      // A state without a rate is of no use to the same plan.
      if (isNew && Object.keys(state.current.rates).length > 0) {
        state.save({ measuringSeconds: elapsed() });
      }
    }
    field.excludeByMeasurement();
  }

  /**
   * Measures those of some kinds that are still to be timed.
   *
   * @param allowance - Seconds after which no further kind is begun
   */
  async #measureKinds(kinds: readonly string[], allowance: number): Promise<void> {
    const { field, state, signal, onStage } = this.#options;
    const { train, digest } = field.data;
    const found = await measureKinds(
      kinds.flatMap((kind) => nextToTime(kind, this.#options) ?? []),
      {
        data: train,
        digest,
        memory: field.memory,
        allowance,
        timing: timingWithin(this.#allowance),
        others: this.#others,
        signal,
        onProgress: onStage,
      },
    );
    // Without a new rate there is nothing to keep.
    if (found.size > 0) {
      state.save({ rates: { ...state.current.rates, ...Object.fromEntries(found) } });
    }
    throwIfInterrupted(signal);
  }

  /** Kinds without a rate that most probably hold the best candidate. */
  #kindsToMeasure(): string[] {
    const { field } = this.#options;
    if (field.measured().length === 0) return this.#firstKind();
    const chances = new Map<string, number>();
    for (const { candidate, chance } of field.outlook()) {
      chances.set(candidate.kind, (chances.get(candidate.kind) ?? 0) + chance);
    }
    return [...chances]
      .filter(([kind, chance]) => {
        return chance >= smallestChance && nextToTime(kind, this.#options) !== undefined;
      })
      .sort(([, a], [, b]) => b - a)
      .map(([kind]) => kind)
      .slice(0, kindsAtOnce);
  }

  /**
   * The kind to begin with: the first, and if that cannot be trained or is too large the smallest. If the
   * smallest does not fit either, none does.
   */
  #firstKind(): string[] {
    const { field, state } = this.#options;
    const isFirst = Object.keys(state.current.rates).length === 0;
    const open = field.candidates.flatMap(({ kind }, i) =>
      field.isExcluded(i) ? [] : [{ kind, estimate: field.estimateOf(i) }],
    );
    const smallest = open.toSorted((a, b) => a.estimate - b.estimate)[0]?.kind;
    const next = isFirst ? open[0]?.kind : smallest;
    return next === undefined || nextToTime(next, this.#options) === undefined ? [] : [next];
  }

  /** @throws BantamError if no kind could be measured. */
  #requireOne(): void {
    const { field, state } = this.#options;
    if (field.measured().length > 0) return;
    const { rates } = state.current;
    const needed = field.candidates.flatMap(({ kind }, i) =>
      rates[kind] === undefined ? [] : [field.bytesOf(i)],
    );
    // The same command tries again, with other programs closed perhaps.
    state.clear();
    const [failure] = Object.values(rates).flatMap((rate) =>
      'failure' in rate ? [rate.failure] : [],
    );
    if (failure !== undefined) throw new BantamError(failure);
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
        others: this.#others,
        signal,
      });
      state.save({ loads: { ...loads, [name]: load } });
    }
  }
}

/**
 * The candidate by which a kind is to be timed: plain, at the usual batch or the nearest to it that fits the
 * memory, else at the smallest. A kind that turned out too large is timed again at a smaller batch that
 * fits. Undefined: there is nothing to time.
 */
export function nextToTime(
  kind: string,
  { field, state }: Pick<MeasuringOptions, 'field' | 'state'>,
): Candidate | undefined {
  const rate = state.current.rates[kind];
  if (rate !== undefined && ('failure' in rate || rate.samplesPerSecond !== null)) return undefined;
  const own = field.candidates.flatMap((candidate, i) =>
    candidate.kind === kind &&
    candidate.quality === 1 &&
    candidate.batch < (rate?.batch ?? Infinity)
      ? [{ candidate, bytes: field.bytesOf(i) }]
      : [],
  );
  const available = availableMemory(field.memory);
  const fitting = own.filter(({ bytes }) => bytes <= available);
  const smallestBatch = Math.min(...own.map(({ candidate }) => candidate.batch));
  const smallest = own.filter(({ candidate }) => candidate.batch === smallestBatch);
  const distance = ({ batch }: Candidate): number => Math.abs(Math.log2(batch / usualBatch));
  const [nearest] = (fitting.length > 0 || rate !== undefined ? fitting : smallest)
    .map(({ candidate }) => candidate)
    .sort((a, b) => distance(a) - distance(b));
  return nearest;
}
