/** The ranked choices of a plan. */
import { isObject } from '../../base/schema.js';
import { shellWord } from '../../base/shell-word.js';
import type { StudyData } from '../runs/arm-data.js';
import { chanceNote, mostForPilots, reasonOf } from './advice.js';
import type { Candidate } from './candidates.js';
import type { Field, Outlook } from './field.js';
import type { Pilots } from './pilots.js';
import type { Forecast, PlannedChoice, SurerPlan } from './plan-file.js';
import type { Observation, Posterior } from './posterior.js';
import { keptOneIn } from './rungs.js';

/** Options of {@link choicesOf}. */
export interface ChoicesOptions {
  readonly field: Field;
  readonly studyData: StudyData;
  readonly pilots: Pilots;
  /** Validation of the run; null: none. */
  readonly validation: { readonly data: string; readonly metric: string } | null;
  /** Seconds of the whole budget. */
  readonly total: number;
  /** Those of them that are for pilots. */
  readonly pilotSeconds: number;
}

/** Most choices of a plan; more only if more had a pilot. */
const mostChoices = 10;

/** Times of a choice's curve, as multiples of its run. */
const curveTimes = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4] as const;

/** Time of each of two pilots as a part of the budget, if there were none: a tenth for both, the default. */
const firstPilots = 0.05;

/**
 * Ranks the candidates by their predicted metric. With pilots only those that had one are choices: what
 * the fitted curves say of others, none has shown.
 */
export async function choicesOf(options: ChoicesOptions): Promise<{
  readonly choices: readonly PlannedChoice[];
  readonly forecasts: readonly Forecast[];
  readonly surer: SurerPlan | null;
  readonly notes: readonly string[];
}> {
  const { field, pilots } = options;
  const posterior = pilots.posterior();
  const fitting = field.outlook(posterior, (index) => pilots.secondsPerSample(index));
  const possible =
    pilots.piloted.length > 0
      ? fitting.filter(({ index }) => pilots.piloted.includes(index))
      : fitting;
  const ranked = possible
    .toSorted((a, b) => b.predicted.value - a.predicted.value || a.index - b.index)
    .slice(0, Math.max(mostChoices, pilots.piloted.length));
  const choices: PlannedChoice[] = [];
  for (const [i, own] of ranked.entries()) {
    choices.push(await choiceOf(own, { ...options, posterior, fitting, rank: i + 1 }));
  }
  const forecasts = fitting.map(({ index, candidate, predicted }): Forecast => {
    const perSample = pilots.secondsPerSample(index);
    const point = field.pointOf(index, options.total, perSample);
    const whole = posterior.predict(index, point);
    return {
      name: candidate.name,
      value: predicted.value,
      band: predicted.band,
      whole: { samples: point.samples, value: whole.value, band: whole.band },
      pilots: pilots.of(index).length,
    };
  });
  const surer = longerPilots(ranked, options);
  return { choices, forecasts, surer, notes: shortNote(ranked, options) };
}

interface ChoiceContext extends ChoicesOptions {
  readonly posterior: Posterior;
  readonly fitting: readonly Outlook[];
  readonly rank: number;
}

async function choiceOf(own: Outlook, context: ChoiceContext): Promise<PlannedChoice> {
  const { field, pilots, studyData, rank, posterior, fitting } = context;
  const { index, candidate, point, predicted } = own;
  const seconds = field.runSeconds;
  const arm = pilots.arm(candidate, `${seconds}s`);
  const data = await studyData.of(arm, 0);
  const epochs = point.samples / (candidate.quality * field.data.candidateFacts.samplesPerEpoch);
  const time = field.timeOf(index);
  const run: PlannedChoice['run'] = {
    ...arm.options,
    data: data.spec,
    budget: `${seconds}s`,
    validation: context.validation ?? { data: 'none' },
    seed: 0,
  };
  const ownPilots = pilots.of(index);
  const reason = reasonOf({
    candidate,
    epochs,
    pairs: point.unique,
    isLoaderBound: time?.isLoaderBound ?? false,
    pilots: ownPilots,
    seconds,
    predicted,
    withoutRepeats: posterior.predict(index, { ...point, unique: point.samples }),
    atHalf: posterior.predict(index, { ...point, samples: point.samples / 2 }),
    alternatives: alternativesTo(own, fitting).map((other) => {
      return { ...other, hasPilot: pilots.of(other.index).length > 0 };
    }),
  });
  return {
    rank,
    name: candidate.name,
    model: candidate.model,
    run,
    command: commandOf(candidate, run),
    pairs: point.unique,
    samples: point.samples,
    epochs,
    seconds,
    samplesPerSecond: point.samples / seconds,
    isRateMeasured: ownPilots.length > 0 || time?.isMeasured === true,
    bytes: field.bytesOf(index),
    predicted: { value: predicted.value, band: predicted.band },
    curve: curveTimes.map((times) => {
      const other = field.pointOf(index, times * seconds, seconds / point.samples);
      const { value, band } = posterior.predict(index, other);
      return { seconds: times * seconds, value, band };
    }),
    chanceOfBest: own.chance,
    pilots: ownPilots,
    reason,
  };
}

/** Of candidates that differ in augmentation, batch or kept fraction alone the best of each. */
function alternativesTo({ candidate, index }: Outlook, fitting: readonly Outlook[]): Outlook[] {
  const differences = (other: Candidate): ('augment' | 'batch' | 'quality')[] =>
    (['augment', 'batch', 'quality'] as const).filter((name) => other[name] !== candidate[name]);
  const rivals = fitting.filter(
    (one) =>
      one.index !== index &&
      one.candidate.kind === candidate.kind &&
      differences(one.candidate).length === 1,
  );
  return (['augment', 'batch', 'quality'] as const).flatMap((name) =>
    rivals
      .filter((one) => differences(one.candidate)[0] === name)
      .sort((a, b) => b.predicted.value - a.predicted.value)
      .slice(0, 1),
  );
}

/** The command of a run, with a folder to choose. */
export function commandOf(
  { preset, changes, strategy }: Pick<Candidate, 'preset' | 'changes' | 'strategy'>,
  { data, budget, validation, train, tokenizer, augment }: PlannedChoice['run'],
): string {
  const { metric } = validation;
  const settings = settingsOf({
    model: changes,
    train,
    tokenizer,
    augment,
    validation: { metric },
  });
  return [
    'bantam train',
    `--model ${preset}`,
    `--data ${shellWord(data)}`,
    '--out runs/planned',
    `--budget ${budget}`,
    ...(strategy === 'clip' ? [] : [`--strategy ${strategy}`]),
    `--validate ${shellWord(validation.data)}`,
    ...settings.map((setting) => `--set ${shellWord(setting)}`),
  ].join(' ');
}

/** Nested options as settings of the command line, such as `train.lr=0.0006`. */
function settingsOf(options: Readonly<Record<string, unknown>>, parent = ''): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    if (isObject(value)) return settingsOf(value, `${parent}${name}.`);
    if (value === undefined) return [];
    return [`${parent}${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`];
  });
}

/** Longest run that is looked for, as a multiple of the planned one. */
const longestSought = 2 ** 16;

/** A note if the run of the first choice is too short to learn anything. */
function shortNote(
  [first]: readonly Outlook[],
  { field, pilots, total, pilotSeconds }: ChoicesOptions,
): string[] {
  if (first === undefined) return [];
  const { index, predicted } = first;
  const { chance } = field.data.validation;
  const perSample = pilots.secondsPerSample(index);
  const posterior = pilots.posterior();
  const reaches = (seconds: number, value: number): boolean =>
    posterior.predict(index, field.pointOf(index, seconds, perSample)).value >= value;
  const budgetFor = (value: number): number | undefined => {
    let [low, high] = [field.runSeconds, 2 * field.runSeconds];
    while (!reaches(high, value)) {
      if (high > longestSought * field.runSeconds) return undefined;
      [low, high] = [high, 2 * high];
    }
    // Six halvings leave an error of one in a hundred.
    for (let i = 0; i < 6; i++) {
      const middle = Math.sqrt(low * high);
      if (reaches(middle, value)) high = middle;
      else low = middle;
    }
    return field.budgetFor(high) / (1 - pilotSeconds / total);
  };
  return chanceNote({ chance, value: predicted.value, budgetFor });
}

/**
 * Pilots of the first two choices, longer than those so far as a further rung would be, and the band that
 * they would leave.
 */
function longerPilots(
  ranked: readonly Outlook[],
  { field, pilots, total }: ChoicesOptions,
): SurerPlan | null {
  const [first, second] = ranked;
  if (first === undefined || second === undefined || field.data.unmeasurable !== undefined) {
    return null;
  }
  const longest = Math.max(...pilots.rungs.map(({ seconds }) => seconds), 0);
  const seconds = longest > 0 ? keptOneIn * longest : firstPilots * total;
  if (seconds < pilots.shortestSeconds()) return null;
  const overhead = pilots.overhead();
  const before = pilots.rungs.reduce(
    (sum, rung) => sum + (rung.seconds + overhead) * rung.candidates.length,
    0,
  );
  const fraction = (before + 2 * (seconds + overhead)) / total;
  if (fraction > mostForPilots) return null;
  const supposed = [first, second].map(({ index }): Observation => {
    const point = field.pointOf(index, seconds, pilots.secondsPerSample(index));
    const { value } = pilots.posterior().predict(index, point);
    return { candidate: index, point, value, queries: field.data.validation.queries };
  });
  const { band } = pilots.posterior(supposed).predict(first.index, first.point);
  const half = ([low, high]: readonly [number, number]): number => (high - low) / 2;
  return {
    seconds: 2 * seconds,
    pilots: Number(fraction.toFixed(2)),
    now: half(first.predicted.band),
    then: half(band),
  };
}
