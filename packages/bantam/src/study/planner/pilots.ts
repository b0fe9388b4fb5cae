/** Pilots of a plan: short runs of likely candidates, each with a whole schedule. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { StudyData } from '../runs/arm-data.js';
import { mergeOptions, type Arm } from '../config/axes.js';
import { taskOfMetric } from '../config/metrics.js';
import { carryOutRuns, type StudyEvent } from '../runs/carry-out-runs.js';
import { readResults, valueOf, type MeasuredValue, type Measurement } from '../runs/measurement.js';
import { upperMedian } from '../../base/statistics.js';
import { readRecord } from '../runs/run-record.js';
import { studyRun, type StudyRun } from '../runs/study-run.js';
import type { Field, Outlook } from './field.js';
import type { Measuring } from './measuring.js';
import type { PlannedPilot, PlannedRung } from './plan-file.js';
import type { PlanStateFile } from './plan-state.js';
import type { Observation, Posterior } from './posterior.js';
import { withoutPilots } from './advice.js';
import { chooseForRung, planRungs, type RungOptions } from './rungs.js';

/** An event of planning. */
export type PlanEvent =
  | StudyEvent
  | { readonly kind: 'stage'; readonly message: string }
  | {
      readonly kind: 'rung';
      /** 1: the first. */
      readonly rung: number;
      readonly rungs: number;
      readonly pilots: number;
      /** Training time of each. */
      readonly seconds: number;
    };

/** Parts of {@link Pilots}. */
export interface PilotsOptions {
  readonly field: Field;
  readonly measuring: Measuring;
  /** Keeps the decided rungs. */
  readonly state: PlanStateFile;
  readonly studyData: StudyData;
  /** Specification of the training data. */
  readonly train: string;
  /** The measurement of every pilot; undefined: there are no pilots. */
  readonly measurement: Measurement | undefined;
  readonly metric: string;
  /** Folder of the run directories. */
  readonly folder: string;
  readonly memory: number;
  /** Time for all pilots. */
  readonly seconds: number;
  readonly signal: AbortSignal | undefined;
  readonly onEvent: ((event: PlanEvent) => void) | undefined;
}

/** A finished pilot. */
interface Finished extends PlannedPilot {
  readonly candidate: number;
  /** Images that could not be read when it was measured. */
  readonly broken: number;
}

/** Time of a pilot beside its training and its evaluation in seconds: a process, the model. */
const processSeconds = 2;

/** The part of a pilot's training that its first steps take longer than others, in seconds. */
const startSeconds = 1;

/**
 * A pilot's own slowdown counts from four fifths to five fourths of the median of all. Candidates differ in
 * how well steps on noise tell their speed; a larger difference is rather other work on the machine while
 * that pilot ran. The bounds are chosen, not measured.
 */
const ownSlowdown = { low: 0.8, high: 1.25 } as const;

/** Less training time than this is taken for this much: a shorter pilot is all start. */
const leastTraining = 0.1;

/**
 * The shortest pilots: this part of the samples at which learning should set in, and so many steps. Pilots
 * of 23 steps cost a sixth of a minute's budget and changed no choice (docs/planner.md).
 */
const shortest = { scale: 0.4, steps: 48 } as const;

/** Multiple of the planned time by which pilots may be late before a note says so. */
const lateness = 1.25;

/** The pilots of a plan, from what was decided to what they measured. */
export class Pilots {
  readonly #options: PilotsOptions;
  readonly #finished: Finished[] = [];
  #known: { readonly pilots: number; readonly posterior: Posterior } | undefined;
  readonly #rungs: PlannedRung[] = [];

  constructor(options: PilotsOptions) {
    this.#options = options;
  }

  /** The rungs that were carried out. */
  get rungs(): readonly PlannedRung[] {
    return this.#rungs;
  }

  /** The pilots of a candidate, the longest last. */
  of(candidate: number): PlannedPilot[] {
    return this.#finished
      .filter((one) => one.candidate === candidate)
      .map(({ run, samples, seconds, value, samplingError }) => {
        return { run, samples, seconds, value, samplingError };
      })
      .sort((a, b) => a.samples - b.samples);
  }

  /** Candidates with a pilot. */
  get piloted(): readonly number[] {
    return [...new Set(this.#finished.map(({ candidate }) => candidate))];
  }

  /** The posterior of the pilots, and of measurements that are only supposed. */
  posterior(supposed: readonly Observation[] = []): Posterior {
    const { field } = this.#options;
    const known = this.#known;
    if (supposed.length === 0 && known?.pilots === this.#finished.length) return known.posterior;
    const { queries } = field.data.validation;
    const observations = this.#finished.map(({ candidate, samples, value }) => ({
      candidate,
      point: { ...field.pointOf(candidate), samples },
      value,
      queries,
    }));
    const posterior = field.posterior([...observations, ...supposed]);
    if (supposed.length === 0) this.#known = { pilots: this.#finished.length, posterior };
    return posterior;
  }

  /**
   * Time of a candidate's sample in the run: what steps on noise promise, times by how much pilots were
   * slower. That is their median, as a machine that others use slows some of them down and not others; a
   * pilot's own ratio counts within {@link ownSlowdown}. Candidates without a pilot take the median, or they
   * would seem faster than those that had one. Undefined: there was no pilot.
   */
  secondsPerSample(candidate: number): number | undefined {
    const own = this.#finished.filter((one) => one.candidate === candidate);
    const planned = this.#options.field.timeOf(candidate);
    if (this.#finished.length === 0 || planned === null) return undefined;
    const common = upperMedian(this.#finished.map((one) => this.#slowdown(one)));
    if (own.length === 0) return planned.seconds * common;
    const ratio = upperMedian(own.map((one) => this.#slowdown(one)));
    const { low, high } = ownSlowdown;
    return planned.seconds * Math.min(high * common, Math.max(low * common, ratio));
  }

  /** Training time of a pilot relative to what steps on noise promised, without that of its start. */
  #slowdown({ candidate, samples, seconds }: Finished): number {
    const planned = samples * (this.#options.field.timeOf(candidate)?.seconds ?? NaN);
    return Math.max(leastTraining, seconds - startSeconds) / planned;
  }

  /**
   * Carries out the rungs that the time allows; returns remarks.
   *
   * @throws BantamError if all pilots failed, or the signal came.
   */
  async carryOut(): Promise<string[]> {
    const { field, measuring, state, measurement, onEvent } = this.#options;
    if (measurement === undefined) return [];
    const rungs = state.current.schedule ?? planRungs(this.#rungOptions());
    if (rungs.length === 0) {
      return [withoutPilots({ ...this.#rungOptions(), total: field.total })];
    }
    state.save({ schedule: [...rungs] });
    let before: number[] = [];
    for (const [i, rung] of rungs.entries()) {
      let decided = state.current.rungs[i];
      if (decided === undefined) {
        const chosen = this.#choose(rung.candidates, before);
        await measuring.measureFor(chosen);
        // That took time from the run.
        field.setRunSeconds(field.total - this.#options.seconds);
        const pilots = chosen
          .filter((candidate) => !field.isExcluded(candidate))
          .map((candidate) => ({
            candidate: at(field.candidates, candidate).name,
            samples: field.pointOf(candidate, rung.seconds).samples,
          }));
        decided = { seconds: rung.seconds, pilots };
        state.save({ rungs: [...state.current.rungs, decided] });
      }
      const indices = decided.pilots.map(({ candidate }) => field.indexOf(candidate));
      onEvent?.({
        kind: 'rung',
        rung: i + 1,
        rungs: rungs.length,
        pilots: indices.length,
        seconds: decided.seconds,
      });
      await this.#train(
        indices,
        decided.pilots.map(({ samples }) => samples),
        measurement,
      );
      this.#rungs.push({
        seconds: decided.seconds,
        candidates: decided.pilots.map(({ candidate }) => candidate),
      });
      before = indices;
    }
    return [...this.#lateNote(), ...this.#brokenNote()];
  }

  #rungOptions(): RungOptions {
    return {
      seconds: this.#options.seconds,
      overhead: this.overhead(),
      shortest: this.shortestSeconds(),
      candidates: this.#options.field.fitting().length,
    };
  }

  /** A note if the pilots took much longer than planned. */
  #lateNote(): string[] {
    // All may have failed.
    if (this.#finished.length === 0) return [];
    const slower = upperMedian(this.#finished.map((one) => this.#slowdown(one)));
    return slower > lateness
      ? [
          `Training took ${slower.toFixed(1)} times as long in the pilots as steps on noise promised; predictions allow for that.`,
        ]
      : [];
  }

  /** A note if pilots were measured on fewer images than there are. */
  #brokenNote(): string[] {
    const { data, images } = this.#options.field.data.validation;
    const broken = Math.max(0, ...this.#finished.map((one) => one.broken));
    return broken === 0
      ? []
      : [
          `${broken} of the ${images} images of ${data} could not be read; pilots are measured on the others.`,
        ];
  }

  /** Time of a pilot of the most likely candidate beside its training, in seconds. */
  overhead(): number {
    const { field } = this.#options;
    const each = field.evaluationSecondsOf(this.#leader());
    return processSeconds + field.data.validation.images * each;
  }

  /** The shortest pilot that tells something, by the most likely candidate. */
  shortestSeconds(): number {
    const { field } = this.#options;
    const leader = this.#leader();
    const { batch, prior } = at(field.candidates, leader);
    const scale = Math.exp(field.shared.lnScale.mean + prior.lnScale);
    const samples = Math.max(shortest.scale * scale, shortest.steps * batch);
    return samples * (field.timeOf(leader)?.seconds ?? Infinity);
  }

  /** The most likely candidate. */
  #leader(): number {
    const isAhead = (a: Outlook, b: Outlook): boolean =>
      a.chance > b.chance || (a.chance === b.chance && a.predicted.value > b.predicted.value);
    const outlook = this.#options.field.outlook(this.posterior());
    return outlook.reduce((best, one) => (isAhead(one, best) ? one : best)).index;
  }

  #choose(count: number, before: readonly number[]): number[] {
    const { field } = this.#options;
    const outlook = new Map(field.outlook(this.posterior()).map((one) => [one.index, one]));
    return chooseForRung({
      count: Math.min(count, outlook.size),
      chances: field.candidates.map((_, i) => outlook.get(i)?.chance ?? 0),
      values: field.candidates.map((_, i) => outlook.get(i)?.predicted.value ?? 0),
      presets: field.candidates.map(({ preset }) => preset),
      before,
      excluded: new Set(field.candidates.flatMap((_, i) => (outlook.has(i) ? [] : [i]))),
    });
  }

  async #train(
    candidates: readonly number[],
    samples: readonly number[],
    measurement: Measurement,
  ): Promise<void> {
    const { field, signal, onEvent } = this.#options;
    const runs: { arm: string; run: StudyRun; candidate: number }[] = [];
    for (const [i, candidate] of candidates.entries()) {
      const budget = `${at(samples, i)}samples`;
      const run = await this.#run(candidate, budget);
      runs.push({ arm: at(field.candidates, candidate).name, run, candidate });
    }
    const failed = await carryOutRuns(runs, {
      measurements: [measurement],
      keep: 'results',
      processes: 1,
      names: { work: 'Planning', runs: 'pilots of this round' },
      signal,
      onEvent,
    });
    for (const { run, candidate } of runs) {
      const message = failed.get(run.id);
      if (message !== undefined) field.exclude(candidate, `its pilot failed: ${message}`);
      else this.#finished.push(this.#finishedOf(candidate, run, measurement));
    }
    const [failure] = failed.values();
    if (this.#finished.length > 0 || failure === undefined) return;
    throw new BantamError(`Every pilot failed: ${failure}`);
  }

  #run(candidate: number, budget: string): Promise<StudyRun> {
    const { field, studyData, train, folder } = this.#options;
    return studyRun(this.arm(at(field.candidates, candidate), budget), {
      seed: 0,
      data: studyData,
      spec: train,
      folder,
    });
  }

  /** A candidate as an arm of a study. */
  arm({ name, options, quality }: Field['candidates'][number], budget: string): Arm {
    const { memory } = this.#options;
    return {
      grid: 'pilots',
      name,
      values: {},
      options: memory > 0 ? mergeOptions(options, { train: { memoryLimit: memory } }) : options,
      quantity: 1,
      quality,
      cost: { budget },
    };
  }

  #finishedOf(candidate: number, { folder }: StudyRun, measurement: Measurement): Finished {
    const { metric } = this.#options;
    const record = readRecord(folder);
    const results = readResults(folder, measurement);
    if (record === undefined || results === undefined) {
      throw new RangeError(`The pilot in ${folder} is not finished.`);
    }
    const column = { metric, task: taskOfMetric(metric), dataset: measurement.dataset.name };
    const measured = valueOf(results, column);
    const { value } = measured;
    const samplingError = samplingErrorOf(measured, this.#options.field.data.validation.queries);
    const { samples, seconds } = record;
    const broken = Math.max(0, ...results.map(({ quarantined }) => quarantined));
    return { candidate, run: folder, samples, seconds, value, samplingError, broken };
  }
}

/**
 * Standard error of a measured metric by the choice of the test data: its 95 % interval divided by 2 · 1.96,
 * or that of a binomial fraction, √(p(1 − p)/n).
 *
 * @param queries - n, the answers that the metric counts
 */
export function samplingErrorOf(
  { value, interval }: Pick<MeasuredValue, 'value' | 'interval'>,
  queries: number,
): number {
  return interval === undefined
    ? Math.sqrt((value * (1 - value)) / queries)
    : (interval[1] - interval[0]) / (2 * 1.96);
}
