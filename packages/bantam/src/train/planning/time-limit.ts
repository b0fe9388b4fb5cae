import { BantamError } from '../../base/errors.js';
import { parseBudget, type Budget, type Spent } from '../config/budget.js';
import type { TrainConfig } from '../config/config.js';
import { measureTimes } from './measure-time.js';
import { planTime, samplesWithin, type TimeCosts } from './plan-time.js';
import type { TrainingContext } from '../loop/context.js';
import { strategyFacts, type PlanContext } from './dummy-data.js';

/** True if a training of this configuration is timed before it starts: only if that can refuse it. */
export function needsTime(config: TrainConfig, options: PlanContext): boolean {
  if (config.train.timeLimit === 0) return false;
  // A budget of time is always kept; work before the first step comes on top.
  if (parseBudget(config.budget).unit !== 'seconds') return true;
  return strategyFacts(config, options).storedBytes > 0;
}

/** A run that resumes. */
export interface ResumedRun {
  readonly spent: Spent;
  /** The file that holds its settings. */
  readonly settingsIn: string;
}

/**
 * Refuses a training that would take longer than `train.timeLimit` allows. Without a limit, and if
 * the budget itself is a time, nothing is measured.
 *
 * @throws BantamError as {@link requireWithin} does.
 */
export async function requireTime(context: TrainingContext, resumed?: ResumedRun): Promise<void> {
  const { config } = context;
  const { timeLimit } = config.train;
  if (timeLimit === 0) return;
  const budget = parseBudget(config.budget);
  const limit = 3600 * timeLimit;
  if (budget.unit === 'seconds' && budget.amount > limit) {
    throw new BantamError(
      `The budget of ${hours(budget.amount)} is more than train.timeLimit allows, ${hours(limit)}; ${resumed === undefined ? `with --budget ${wholeMilliseconds(limit)}s it would fit` : raised(budget.amount, resumed)}.`,
    );
  }
  if (!needsTime(config, context)) return;
  const costs = await measureTimes(config, context, { spent: resumed?.spent });
  requireWithin(limit, { budget, costs, settingsIn: resumed?.settingsIn });
}

/** Options of {@link requireWithin}. */
export interface WithinOptions {
  budget: Budget;
  costs: TimeCosts;
  /** The file that holds the settings of a run that resumes. */
  settingsIn?: string | undefined;
}

/** @throws BantamError that says how long it would take, and the largest budget that would fit. */
export function requireWithin(limit: number, { budget, costs, settingsIn }: WithinOptions): void {
  const { total, spent, preparation } = planTime(budget, costs);
  if (spent + total <= limit) return;
  const much = `about ${hours(total)}${spent > 0 ? ` more after ${hours(spent)}` : ''}`;
  const there = `train.timeLimit allows ${hours(limit)}`;
  throw new BantamError(
    `This training would take ${much}, but ${there}; ${settingsIn === undefined ? smaller(limit, { budget, costs, preparation }) : raised(spent + total, { settingsIn })}.`,
  );
}

/** The largest budget that fits the limit, in words. */
function smaller(
  limit: number,
  { budget, costs, preparation }: { budget: Budget; costs: TimeCosts; preparation: number },
): string {
  const left = wholeMilliseconds(limit - preparation);
  if (budget.unit === 'seconds' && left > 0) return `with --budget ${left}s it would fit`;
  const samples = samplesWithin(limit, costs);
  return samples > 0
    ? `with --budget ${samples}samples it would fit`
    : 'not even one step would fit, so take a smaller model or a higher limit';
}

function wholeMilliseconds(seconds: number): number {
  return Math.floor(seconds * 1000) / 1000;
}

/** A run's budget cannot change once it has started, as its schedule depends on it; the limit can. */
function raised(seconds: number, { settingsIn }: Pick<ResumedRun, 'settingsIn'>): string {
  const needed = Math.ceil(seconds / 36) / 100;
  return `with "timeLimit": ${needed} in ${settingsIn} it would resume`;
}

/** A span of time in its largest unit: `2.5 h`, `40 min`, `12 s`. */
function hours(seconds: number): string {
  for (const [unit, length] of [
    ['h', 3600],
    ['min', 60],
  ] as const) {
    if (seconds >= length) return `${Number((seconds / length).toFixed(1))} ${unit}`;
  }
  return `${Number(seconds.toPrecision(2))} s`;
}
