import { UsageError } from '../../base/errors.js';

/** Resources that a training has used. */
export interface Spent {
  /** Wall time of training, in seconds. */
  seconds: number;
  /** Samples seen. */
  samples: number;
  /** FLOPs of the forward and backward passes. */
  flops: number;
}

/** Resources used by a run that has not started. */
export const unspent: Readonly<Spent> = { seconds: 0, samples: 0, flops: 0 };

/** A limit of one of them, on which the schedule ends. */
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
const multipliers: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9 };

const usage =
  'write a time such as 5m or 2h, samples such as 100ksamples, passes over the data such as 3epochs, or FLOPs such as 1e15flops';

/**
 * A budget with passes over the data (`10epochs`, `0.5epochs`) as the samples that they are; others
 * unchanged.
 */
export function withoutEpochs(text: string, samplesPerEpoch: number): string {
  const [, number] = /^(\d+(?:\.\d+)?)\s*epochs?$/i.exec(text.trim()) ?? [];
  return number === undefined ? text : `${Math.ceil(Number(number) * samplesPerEpoch)}samples`;
}

/**
 * Reads a budget: a wall time (`90s`, `5m`, `2h`, `1d`), samples seen (`76544samples`,
 * `100ksamples`), or FLOPs (`1e15flops`).
 *
 * @throws UsageError for anything else and for a budget that is not above zero.
 */
export function parseBudget(text: string): Budget {
  const match = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  if (match === null) throw new UsageError(`The budget '${text}' cannot be read; ${usage}.`);
  const [, number, suffix = ''] = match;
  const value = Number(number);
  const unit = suffix.toLowerCase();
  if (value === 0) {
    throw new UsageError(`The budget '${text}' leaves nothing to train with; ${usage}.`);
  }
  const [, prefix, counter] = /^([kmbg]?)(samples|flops)$/.exec(unit) ?? [];
  const multiplier = prefix === undefined ? undefined : multipliers[prefix];
  if (multiplier !== undefined) {
    return { unit: counter === 'flops' ? 'flops' : 'samples', amount: value * multiplier };
  }
  const length = seconds[unit];
  if (length === undefined) {
    throw new UsageError(`The budget '${text}' has no known unit; ${usage}.`);
  }
  return { unit: 'seconds', amount: value * length };
}

/** The fraction of the budget that is used, 0 … 1. */
export function budgetProgress(budget: Budget, spent: Spent): number {
  return Math.min(1, spent[budget.unit] / budget.amount);
}

/**
 * A position in the schedule as (step, total): whole steps for samples, so that an equal run has
 * equal learning rates; fine ticks for time and FLOPs, whose number of steps is unknown.
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
