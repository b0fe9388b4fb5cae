/** Reasons of a choice in one line, from the fitted curves. */
import { cpus } from 'node:os';
import { at } from '../../base/at.js';
import { countOf } from '../../base/count-of.js';
import { isBusy } from '../../base/cpu-load.js';
import { formatMetric } from '../../eval/index.js';
import type { Candidate } from './candidates.js';
import type { PlanValidation } from './plan-data.js';
import type { PlannedPilot, TrainingChoices } from './plan-file.js';
import type { PredictedMetric } from './posterior.js';
import { leastForRungs, type RungOptions } from './rungs.js';

/** No larger part of the budget for pilots is proposed: the run would be shorter than what it is chosen by. */
export const mostForPilots = 0.5;

/** A time rounded up as `--budget` takes it: seconds up to ten minutes, minutes up to ten hours, else hours. */
export function budgetOf(seconds: number): string {
  // 205.00000000000003 s are 205.
  const up = (value: number): number => Math.ceil(value - 1e-9);
  if (seconds <= 600) return `${up(seconds)}s`;
  return seconds <= 36_000 ? `${up(seconds / 60)}m` : `${up(seconds / 3600)}h`;
}

/**
 * The reason why a plan has no pilots, with the least budget that has some.
 *
 * @param options - Those of the rungs, of which there are none; `total` is the whole budget in seconds
 */
export function withoutPilots({
  total,
  ...options
}: RungOptions & { readonly total: number }): string {
  const { seconds, candidates } = options;
  if (candidates < 2) return 'There is one candidate alone, so no pilots compare it with others.';
  const least = leastForRungs(options);
  const part = Math.ceil((100 * least) / total);
  const larger = part <= 100 * mostForPilots ? `, or with --pilots ${part}%` : '';
  return `Pilots would have ${Number(seconds.toPrecision(2))} s, and two that learn anything take about ${Math.ceil(least)} s on this machine; plan for at least ${budgetOf((least * total) / seconds)}${larger}.`;
}

/** Facts by which a budget is too small. */
export interface BudgetFacts {
  readonly budget: string;
  /** Its seconds. */
  readonly total: number;
  /** Seconds that timing took. */
  readonly timing: number;
  /** Seconds that are left for the run. */
  readonly left: number;
  /** Steps of the fastest candidate in its run, and how many it should have. */
  readonly steps: number;
  readonly fewest: number;
  /** Seconds of the smallest budget that is enough, and of that once the timing is kept. */
  readonly needed: number;
  readonly neededAgain: number;
}

/** A run without a second of its own is none. */
const shortestRun = 1;

/** The refusal of a budget that is too small for any candidate; undefined: it is not. */
export function tooShort(facts: BudgetFacts): string | undefined {
  const { budget, total, timing, left, steps, fewest, needed, neededAgain } = facts;
  const isUsedUp = left < shortestRun;
  if (steps >= fewest && !isUsedUp) return undefined;
  const whole = Math.floor(steps);
  const took = Math.round(timing) === 0 ? '' : `timing took ${Math.round(timing)} s`;
  const why = isUsedUp
    ? `A budget of ${budget} leaves no second for the run${took && `, as ${took}`}`
    : `A budget of ${budget} is ${countOf(whole, 'step')} of the fastest candidate on this machine, and nothing is learned in fewer than ${fewest}`;
  // Kept timings take no time again.
  const isEnoughAgain = took !== '' && timing > total / 4 && neededAgain < total;
  const again = isEnoughAgain
    ? `, or try again, as ${isUsedUp ? 'its' : `${took} and its`} result is kept`
    : '';
  return `${why}; plan for at least ${budgetOf(needed)}${again}.`;
}

/** Facts that a too short run is told by. */
export interface ChanceFacts {
  /** The score of guesses. */
  readonly chance: number;
  /** The predicted metric of the first choice. */
  readonly value: number;
  /** Seconds of a budget after which the first choice would reach a value; undefined: it never does. */
  readonly budgetFor: (value: number) => number | undefined;
}

/**
 * A note if a run is predicted to score less than a point above twice chance, with the budget for three
 * times chance, and for no less than that. Multiples are of the odds, which of a small chance are the same,
 * and of a large one below 1.
 */
export function chanceNote({ chance, value, budgetFor }: ChanceFacts): string[] {
  const multiple = (times: number): number => (times * chance) / (1 + (times - 1) * chance);
  const enough = multiple(2) + 0.01;
  if (value >= enough) return [];
  const needed = budgetFor(Math.max(multiple(3), enough));
  const where = `the first choice is predicted to reach ${formatMetric(value, 'fraction')}, where guessing has ${formatMetric(chance, 'fraction')}`;
  return [
    needed === undefined
      ? `Hardly anything is learned here: ${where}, and a longer run would not change that.`
      : `The run is too short to learn anything here: ${where}; plan for about ${budgetOf(needed)}.`,
  ];
}

/**
 * What the candidates that a table does not list have of the chance to be the best; undefined: it lists all.
 *
 * @param count - Choices in the table
 */
export function othersNote(
  {
    choices,
    forecasts,
    isPriorOnly,
  }: Pick<TrainingChoices, 'choices' | 'forecasts' | 'isPriorOnly'>,
  count: number,
): string | undefined {
  const listed = choices.slice(0, count);
  const others = forecasts.length - listed.length;
  if (others <= 0) return undefined;
  const chance = 1 - listed.reduce((sum, { chanceOfBest }) => sum + chanceOfBest, 0);
  const name = others === 1 ? 'The other candidate' : `The other ${others} candidates together`;
  const piloted = forecasts.filter(({ pilots }) => pilots > 0).length;
  const remark = !isPriorOnly && piloted <= listed.length ? ', without a pilot' : '';
  return `${name}${remark}: ${Math.max(0, Math.round(100 * chance))} %.`;
}

/** A note if the speeds of a plan are those of a busy machine, of which others used so many cores. */
export function busyNote(others: number): string[] {
  if (!isBusy(others)) return [];
  return [
    `Other programs used ${others.toFixed(1)} of ${cpus().length} cores when timing began, so without them the machine is faster than this plan says; once they have ended, plan again with another --out.`,
  ];
}

/** A note if the data to measure on, by their digest, are those that are trained on. */
export function trainedNote(
  { digest, isHeldOut }: Pick<PlanValidation, 'digest' | 'isHeldOut'>,
  data: string,
): string[] {
  if (isHeldOut || digest !== data) return [];
  return [
    'The data to measure on are the training data, and what is measured is learned by heart; without --validate a part of the data is held out.',
  ];
}

/** Facts that a reason is made of. */
export interface ReasonFacts {
  readonly candidate: Candidate;
  readonly epochs: number;
  readonly pairs: number;
  readonly isLoaderBound: boolean;
  readonly pilots: readonly PlannedPilot[];
  readonly seconds: number;
  readonly predicted: PredictedMetric;
  /** The metric if all samples were of different pairs. */
  readonly withoutRepeats: PredictedMetric;
  /** The metric after half of the samples. */
  readonly atHalf: PredictedMetric;
  /** The same choice with another augmentation, another batch or another fraction of the data. */
  readonly alternatives: readonly {
    readonly candidate: Candidate;
    readonly predicted: PredictedMetric;
    readonly hasPilot: boolean;
  }[];
}

/** Differences below this, in points, are not worth a word. */
const negligiblePoints = 0.5;

/** One line that says why, from fitted facts. */
export function reasonOf(facts: ReasonFacts): string {
  return [
    pilotFact(facts),
    repeatFact(facts),
    ...alternativeFacts(facts),
    halfFact(facts),
    loaderFact(facts),
  ]
    .filter((fact) => fact !== '')
    .join('; ');
}

function pilotFact({ pilots, seconds }: ReasonFacts): string {
  if (pilots.length === 0) return 'no pilot, the prior alone';
  const last = at(pilots, -1);
  const values = pilots.map(({ value }) => formatMetric(value, 'fraction')).join(', then ');
  const ratio = seconds / last.seconds;
  return `${values} after ${pilots.map((one) => `${Math.round(one.samples / 100) / 10}k`).join(' and ')} samples in pilots, the longest 1/${Math.max(1, Math.round(ratio))} of the run`;
}

function repeatFact({ epochs, pairs, predicted, withoutRepeats }: ReasonFacts): string {
  if (epochs < 2) return '';
  const cost = pointsAbove(withoutRepeats, predicted);
  const seen = `${pairs.toLocaleString('en-US')} distinct pairs are seen ${Math.round(epochs)} times`;
  return cost < negligiblePoints
    ? `${seen}, which costs less than ${negligiblePoints} points beside new ones`
    : `${seen}: as many new ones would bring ${cost.toFixed(1)} points more`;
}

/** The nearest rivals in augmentation, batch and fraction of the data. */
function alternativeFacts({ candidate, predicted, pilots, alternatives }: ReasonFacts): string[] {
  return alternatives.map(({ candidate: other, predicted: theirs, hasPilot }) => {
    const difference = pointsAbove(predicted, theirs);
    const named =
      other.augment !== candidate.augment
        ? nameOfAugment(other)
        : other.batch !== candidate.batch
          ? `a batch of ${other.batch}`
          : nameOfFraction(other);
    // With pilots only those that had one are choices, however well the curves speak of others.
    const name = pilots.length > 0 && !hasPilot ? `${named}, without a pilot,` : named;
    if (Math.abs(difference) < negligiblePoints) return `${name} would be as good`;
    return `${name} would ${difference > 0 ? 'lose' : 'gain'} ${Math.abs(difference).toFixed(1)} points`;
  });
}

function nameOfAugment({ augment }: Candidate): string {
  if (augment === 'none') return 'no augmentation';
  return augment === 'own' ? "the data's own augmentation" : `augmentation ${augment}`;
}

function nameOfFraction({ quality }: Candidate): string {
  return quality === 1 ? 'all of the data' : `the best ${100 * quality} % of the data`;
}

function halfFact({ predicted, atHalf }: ReasonFacts): string {
  const gain = pointsAbove(predicted, atHalf);
  return `the second half of the time brings ${Math.max(0, gain).toFixed(1)} points`;
}

function loaderFact({ isLoaderBound }: ReasonFacts): string {
  return isLoaderBound
    ? 'loading images takes longer than computing: smaller files would help'
    : '';
}

/** Points of per cent by which a prediction is above another. */
function pointsAbove(a: PredictedMetric, b: PredictedMetric): number {
  return 100 * (a.value - b.value);
}
