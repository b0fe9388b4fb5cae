import { UsageError } from '../../base/errors.js';

/** What training has used so far. */
export interface Spent {
  /** Wall time of training, in seconds. */
  seconds: number;
  /** Samples seen. */
  samples: number;
  /** Floating-point operations of the forward and backward passes. */
  flops: number;
}

/** What a run has used that has not begun. */
export const nothingSpent: Readonly<Spent> = { seconds: 0, samples: 0, flops: 0 };

/** How much training may use of one of them; the schedule is laid out to end on it. */
export interface Budget {
  readonly unit: keyof Spent;
  readonly amount: number;
}

const seconds: Readonly<Record<string, number>> = {
  s: 1,
  sec: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86400,
};
const prefixes: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9 };

const usage =
  'write a time such as 5m or 2h, samples such as 100ksamples, or operations such as 1e15flops';

/**
 * Reads a budget: a wall time (`90s`, `5m`, `2h`, `1d`), samples seen (`76544samples`,
 * `100ksamples`), or floating-point operations (`1e15flops`).
 *
 * @throws UsageError for anything else and for a budget that is not above zero.
 */
export function parseBudget(text: string): Budget {
  const match = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  if (match === null) throw new UsageError(`The budget '${text}' cannot be read; ${usage}.`);
  const value = Number(match[1]);
  const unit = (match[2] ?? '').toLowerCase();
  if (value === 0) {
    throw new UsageError(`The budget '${text}' leaves nothing to train with; ${usage}.`);
  }
  const counted = /^([kmbg]?)(samples|flops)$/.exec(unit);
  if (counted !== null) {
    const amount = value * (prefixes[counted[1] ?? ''] ?? 1);
    return { unit: counted[2] === 'flops' ? 'flops' : 'samples', amount };
  }
  const length = seconds[unit];
  if (length === undefined) {
    throw new UsageError(`The budget '${text}' has no unit that is known; ${usage}.`);
  }
  return { unit: 'seconds', amount: value * length };
}

/** The share of the budget that is used, 0 … 1. */
export function budgetProgress(budget: Budget, spent: Spent): number {
  return Math.min(1, spent[budget.unit] / budget.amount);
}

/** Seconds that remain at the pace so far; null before there is a pace. */
export function secondsLeft(budget: Budget, spent: Spent): number | null {
  const progress = budgetProgress(budget, spent);
  return progress > 0 ? (spent.seconds * (1 - progress)) / progress : null;
}

/**
 * A position in the schedule as (step, total): whole steps for samples, so that an equal run has
 * equal learning rates; fine ticks for time and operations, whose number of steps is not known.
 */
export function schedulePosition(
  budget: Budget,
  spent: Spent,
  batchSize: number,
): { step: number; total: number } {
  if (budget.unit === 'samples') {
    return {
      step: spent.samples / batchSize,
      total: Math.max(1, Math.ceil(budget.amount / batchSize)),
    };
  }
  const ticks = 100_000;
  return { step: budgetProgress(budget, spent) * ticks, total: ticks };
}
