/** `plan.json`: the choices of a plan with what they rest on. */
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { BantamError, UsageError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import { isObject, readSettings } from '../../base/schema.js';
import type { Interval } from '../../eval/index.js';
import { openSource } from '../../data/index.js';
import {
  describeChange,
  isFingerprint,
  runSchema,
  type DataFingerprint,
  type RunOptions,
} from '../../train/index.js';
import type { LeftOut } from './candidates.js';

/** Version of `plan.json`; it rises if an older file would be read differently. */
export const planFormat = 1;

/** A pilot of a choice. */
export interface PlannedPilot {
  /** The run directory. */
  readonly run: string;
  readonly samples: number;
  /** Training time. */
  readonly seconds: number;
  /** The measured metric, with the standard error of its sampling. */
  readonly value: number;
  readonly samplingError: number;
}

/** A choice with what it promises. */
export interface PlannedChoice {
  readonly rank: number;
  readonly name: string;
  readonly model: string;
  /** Options of its run, as `train()` takes them. */
  readonly run: RunOptions & {
    readonly budget: string;
    readonly validation: { readonly data: string; readonly metric?: string };
  };
  /** The same as a command. */
  readonly command: string;
  /** Different pairs that it trains on. */
  readonly pairs: number;
  readonly samples: number;
  readonly epochs: number;
  /** Training time. */
  readonly seconds: number;
  readonly samplesPerSecond: number;
  /** False: estimated by FLOPs from measured models. */
  readonly isRateMeasured: boolean;
  /** Planned peak memory. */
  readonly bytes: number;
  /** The metric at the end, 80 % of new runs being in the band. */
  readonly predicted: { readonly value: number; readonly band: Interval };
  /** Chance that it is the best of all candidates. */
  readonly chanceOfBest: number;
  /** The same for runs of other times, each with a schedule of its own. */
  readonly curve: readonly {
    readonly seconds: number;
    readonly value: number;
    readonly band: Interval;
  }[];
  readonly pilots: readonly PlannedPilot[];
  readonly reason: string;
}

/** The predicted metric of any candidate. */
export interface Forecast {
  readonly name: string;
  /** In the time that is left for the run. */
  readonly value: number;
  readonly band: Interval;
  /** In the whole budget, to compare with runs that had no pilots to pay for. */
  readonly whole: { readonly samples: number; readonly value: number; readonly band: Interval };
  readonly pilots: number;
}

/** Cost and effect of further pilots. */
export interface SurerPlan {
  /** Time of pilots four times as long of the first two choices. */
  readonly seconds: number;
  /** `--pilots` that has them. */
  readonly pilots: number;
  /** Half widths of the first choice's band now and then. */
  readonly now: number;
  readonly then: number;
}

/** A rung of the pilots. */
export interface PlannedRung {
  /** Training time of each run. */
  readonly seconds: number;
  readonly candidates: readonly string[];
}

/** Everything that a plan found. */
export interface TrainingChoices {
  readonly bantam: 'plan';
  readonly formatVersion: number;
  readonly data: string;
  /** Fingerprint of the data. */
  readonly fingerprint: DataFingerprint;
  /** Different pairs of the training part. */
  readonly pairs: number;
  readonly metric: string;
  readonly validation: {
    readonly data: string;
    readonly images: number;
    readonly isHeldOut: boolean;
    readonly chance: number;
  };
  readonly budget: string;
  /** Seconds of the budget, and the parts for timing, for pilots and for the training of the chosen run. */
  readonly seconds: number;
  readonly measuringSeconds: number;
  readonly pilotSeconds: number;
  readonly runSeconds: number;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly threads: number;
  };
  /** True if no pilot was measured: predictions are the prior's. */
  readonly isPriorOnly: boolean;
  readonly candidates: number;
  readonly rungs: readonly PlannedRung[];
  readonly choices: readonly PlannedChoice[];
  /** All candidates that fit, piloted or not. */
  readonly forecasts: readonly Forecast[];
  readonly surer: SurerPlan | null;
  /** 80 % intervals of the fitted curve of the reference model. */
  readonly curve: Readonly<Record<string, Interval>>;
  readonly leftOut: readonly LeftOut[];
  readonly notes: readonly string[];
}

/** Files and folders of a plan. */
export const planPaths = (out: string) => ({
  plan: `${out}/plan.json`,
  report: `${out}/plan.html`,
  state: `${out}/state.json`,
  data: `${out}/data`,
  subsets: `${out}/subsets`,
  runs: `${out}/runs`,
});

const predictionSchema = v.object({
  metric: v.string(),
  value: v.number(),
  band: v.tuple([v.number(), v.number()]),
});

/** A choice of a plan's file. */
export interface ReadChoice {
  /** Options of its run. */
  readonly run: RunOptions;
  /** A sentence if the data are not those that were planned for. */
  readonly change: string | undefined;
  /** The metric that was predicted, with its 80 % band; undefined: the plan was changed by hand. */
  readonly predicted: v.InferOutput<typeof predictionSchema> | undefined;
}

/**
 * Reads a choice of a plan's file, and compares its data with those that there are now.
 *
 * @param choice - 1: the first
 * @throws UsageError or BantamError if there is no such plan or choice, its run has a wrong setting, or
 * the data cannot be read.
 */
export async function readChoice(file: string, choice: number): Promise<ReadChoice> {
  if (!existsSync(file)) {
    throw new UsageError(`There is no plan ${file}; make one with "bantam plan".`);
  }
  const plan = await readJson(file, 'plan');
  if (!isObject(plan) || plan.bantam !== 'plan' || !Array.isArray(plan.choices)) {
    throw new BantamError(`${file} is no plan of "bantam plan"; name its plan.json.`);
  }
  if (plan.formatVersion !== planFormat) {
    throw new BantamError(
      `${file} was written by another version of Bantam (format ${String(plan.formatVersion)}, this one reads ${planFormat}); plan again.`,
    );
  }
  if (plan.choices.length === 0) {
    throw new BantamError(`${file} has no choices; plan again with "bantam plan".`);
  }
  const found: unknown = plan.choices[choice - 1];
  if (found === undefined) {
    throw new UsageError(
      `${file} has no choice ${choice}; its last one is ${plan.choices.length}.`,
    );
  }
  const { run: options, predicted } = isObject(found) ? found : {};
  const run = checkedRun(options, `choice ${choice} in ${file}`);
  const prediction = { metric: plan.metric, ...(isObject(predicted) && predicted) };
  return {
    run,
    change: await changeOf(plan, file),
    predicted: v.is(predictionSchema, prediction) ? prediction : undefined,
  };
}

/** @throws BantamError for what a run's options do not have, such as the control of a training. */
function checkedRun(run: unknown, where: string): RunOptions {
  try {
    readSettings(runSchema, run, { error: BantamError });
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    throw new BantamError(`The run of ${where} cannot be used. ${error.message}`);
  }
  if (!v.is(runSchema, run)) throw new BantamError(`The run of ${where} cannot be used.`);
  return run;
}

/**
 * A sentence if a plan's data have changed since; plans of earlier versions have no fingerprint.
 *
 * @throws BantamError for what is no fingerprint.
 */
async function changeOf(
  { data, fingerprint }: Readonly<Record<string, unknown>>,
  file: string,
): Promise<string | undefined> {
  if (typeof data !== 'string' || fingerprint === undefined) return undefined;
  if (!isFingerprint(fingerprint)) {
    throw new BantamError(
      `${file} is damaged: its "fingerprint" must have the number "records" and the text "digest"; plan again with "bantam plan".`,
    );
  }
  const change = await describeChange(fingerprint, await openSource(data));
  return (
    change &&
    `The data "${data}" have changed since the plan was made (${change}): its choices and predictions are of the data as they were; plan again for those of now.`
  );
}
