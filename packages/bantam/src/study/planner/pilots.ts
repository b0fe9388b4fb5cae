/** Pilots of a plan: short runs of likely candidates, each with a whole schedule. */
import { at } from '../../base/at.js';
import type { StudyData } from '../runs/arm-data.js';
import { mergeOptions, type Arm } from '../config/axes.js';
import { taskOfMetric } from '../config/metrics.js';
import { carryOutRuns, type StudyEvent } from '../runs/carry-out-runs.js';
import { readResults, valueOf, type Measurement } from '../runs/measurement.js';
import { upperMedian } from '../../base/statistics.js';
import { readRecord } from '../runs/run-record.js';
import { studyRun, type StudyRun } from '../runs/study-run.js';
import type { Field } from './field.js';
import type { PlannedPilot, PlannedRung } from './plan-file.js';
import { chancesOfBest, type Observation, type Posterior } from './posterior.js';
import { chooseForRung, planRungs } from './rungs.js';

/** An event of planning. */
export type PlanEvent = StudyEvent | { readonly kind: 'stage'; readonly message: string };

/** Parts of {@link Pilots}. */
export interface PilotsOptions {
  readonly field: Field;
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
}

/** Time of a pilot beside its training and its evaluation in seconds: a process, the model. */
const processSeconds = 2;

/** The part of a pilot's training that its first steps take longer than others, in seconds. */
const startSeconds = 1;

/**
 * The shortest pilots: this part of the samples at which learning should set in, and so many steps. Pilots
 * of 23 steps cost a sixth of a minute's budget and changed no choice (docs/planner.md).
 */
const least = { scale: 0.4, steps: 48 } as const;

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
   * pilot's own ratio counts within a quarter of it. Undefined: the candidate had none.
   */
  secondsPerSample(candidate: number): number | undefined {
    const own = this.#finished.filter((one) => one.candidate === candidate);
    const planned = this.#options.field.timeOf(candidate);
    if (own.length === 0 || planned === null) return undefined;
    const common = upperMedian(this.#finished.map((one) => this.#slowdown(one)));
    const ratio = upperMedian(own.map((one) => this.#slowdown(one)));
    return planned.seconds * Math.min(1.25 * common, Math.max(0.8 * common, ratio));
  }

  /** Training time of a pilot relative to what steps on noise promised, without that of its start. */
  #slowdown({ candidate, samples, seconds }: Finished): number {
    const planned = samples * (this.#options.field.timeOf(candidate)?.seconds ?? NaN);
    return Math.max(0.1, seconds - startSeconds) / planned;
  }

  /** Carries out the rungs that the time allows; returns remarks. */
  async carryOut(): Promise<string[]> {
    const { field, measurement, seconds, signal } = this.#options;
    if (measurement === undefined) return [];
    const fitting = field.fitting();
    const rungs = planRungs({
      seconds,
      overhead: this.overhead(),
      least: this.leastSeconds(),
      candidates: fitting.length,
    });
    if (rungs.length === 0) {
      return [
        `Pilots would have ${Math.round(seconds)} s, too little for two that learn anything on this machine; give a larger budget, or a larger part of it with --pilots.`,
      ];
    }
    const onStage = (message: string): void => this.#options.onEvent?.({ kind: 'stage', message });
    let before: number[] = [];
    for (const [i, rung] of rungs.entries()) {
      let decided = field.rungs[i];
      if (decided === undefined) {
        const chosen = this.#choose(rung.candidates, before);
        await field.measureFor(chosen, { signal, onStage });
        const pilots = chosen
          .filter((candidate) => !field.excluded.has(candidate))
          .map((candidate) => ({
            candidate: at(field.candidates, candidate).name,
            samples: field.pointOf(candidate, rung.seconds).samples,
          }));
        decided = { seconds: rung.seconds, pilots };
        field.addRung(decided);
      }
      const indices = decided.pilots.map(({ candidate }) =>
        field.candidates.findIndex(({ name }) => name === candidate),
      );
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
    return this.#lateNote();
  }

  /** A note if the pilots took much longer than planned. */
  #lateNote(): string[] {
    const slower = upperMedian(this.#finished.map((one) => this.#slowdown(one)));
    return slower > lateness
      ? [
          `Training took ${slower.toFixed(1)} times as long in the pilots as steps on noise promised; predictions allow for that.`,
        ]
      : [];
  }

  /** Time of a pilot of the most likely candidate beside its training, in seconds. */
  overhead(): number {
    const { field } = this.#options;
    const each = field.evaluationSecondsOf(this.#leader());
    return processSeconds + field.data.validation.images * each;
  }

  /** The shortest pilot that tells something, by the most likely candidate. */
  leastSeconds(): number {
    const { field } = this.#options;
    const leader = this.#leader();
    const { batch, prior } = at(field.candidates, leader);
    const scale = Math.exp(field.shared.lnScale.mean + prior.lnScale);
    const samples = Math.max(least.scale * scale, least.steps * batch);
    return samples * (field.timeOf(leader)?.seconds ?? Infinity);
  }

  /** The most likely candidate. */
  #leader(): number {
    const { field } = this.#options;
    const fitting = field.fitting();
    const { chances, values } = this.#outlook(fitting);
    const isAhead = (a: number, b: number): boolean =>
      at(chances, a) > at(chances, b) ||
      (at(chances, a) === at(chances, b) && at(values, a) > at(values, b));
    return fitting.reduce((best, i) => (isAhead(i, best) ? i : best));
  }

  #choose(count: number, before: readonly number[]): number[] {
    const { field } = this.#options;
    const fitting = field.fitting();
    const { chances, values } = this.#outlook(fitting);
    return chooseForRung({
      count: Math.min(count, fitting.length),
      chances,
      values,
      models: field.candidates.map(({ model }) => model),
      before,
      excluded: new Set(field.candidates.flatMap((_, i) => (fitting.includes(i) ? [] : [i]))),
    });
  }

  /** By candidate: the chance to be the best at the end, and the metric there. */
  #outlook(fitting: readonly number[]): { chances: number[]; values: number[] } {
    const { field } = this.#options;
    const posterior = this.posterior();
    const predictions = fitting.map((i) => posterior.predict(i, field.pointOf(i)));
    const chances = field.candidates.map(() => 0);
    const values = field.candidates.map(() => 0);
    for (const [position, chance] of chancesOfBest(predictions).entries()) {
      chances[at(fitting, position)] = chance;
      values[at(fitting, position)] = at(predictions, position).value;
    }
    return { chances, values };
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
    const { value, interval } = valueOf(results, column);
    const images = Math.max(1, this.#options.field.data.validation.images);
    const samplingError =
      interval === undefined
        ? Math.sqrt((value * (1 - value)) / images)
        : (interval[1] - interval[0]) / (2 * 1.96);
    const { samples, seconds } = record;
    return { candidate, run: folder, samples, seconds, value, samplingError };
  }
}
