/** Sentences about a run's validations: what is held out, and where the best point was. */
import type { HeldOutSplit } from '../../data/index.js';
import type { HoldOutPlan } from '../config/hold-out.js';
import type { ValidationRow } from '../run-dir/metrics.js';

/** Fraction of the training time that validation on held-out data may take in a budget of time. */
const mostOfTime = 0.05;

/** Announces what is held out, and how to change it. */
export function heldOutNotice(
  { kept, heldOut }: HeldOutSplit,
  { passes }: HoldOutPlan,
  { every, metric }: { readonly every: number; readonly metric: string },
): string {
  const all = kept.size + heldOut.size;
  const often = passes < 10 ? passes.toFixed(1) : passes.toFixed(0);
  const percent = Number((100 * every).toFixed(1));
  return `${heldOut.size} of ${all} records are held out, as the budget allows for up to ${often} passes over the others: ${metric} on them, every ${percent} % of it, shows when the model learns by heart. --validate none trains on all.`;
}

/**
 * Spaces validations in a budget of time, so that they take no more than {@link mostOfTime} of the
 * training time; the last one is always made. Other budgets have theirs at fixed points, as their runs can be repeated
 * exactly.
 */
export class ValidationPace {
  #seconds = 0;
  #longest = 0;
  #count = 0;

  /** True if there is time for another one. */
  allows(trainingSeconds: number): boolean {
    return this.#seconds + this.#longest <= mostOfTime * trainingSeconds;
  }

  /** Counts a validation; a sentence about the first. */
  add(seconds: number, { every }: { readonly every: number }): string | undefined {
    this.#seconds += seconds;
    this.#longest = Math.max(this.#longest, seconds);
    if (++this.#count > 1) return undefined;
    const all = Math.round(1 / every);
    return `The validation took ${seconds.toFixed(1)} s; ${all} of them take about ${(all * seconds).toFixed(0)} s.`;
  }
}

/** The best and the last validation of a run. */
export interface ValidationSummary {
  readonly best: ValidationRow;
  readonly last: ValidationRow;
  /** Difference by which the last is worse, at least 0. */
  readonly loss: number;
  /** Half of the 95 % interval of the difference of two fractions over so many images; null: unknown. */
  readonly error: number | null;
}

/** Options of {@link summarizeValidations}. */
export interface SummaryOptions {
  readonly lowerIsBetter: boolean;
  /** Images of the validation data, if it is known. */
  readonly samples?: number | undefined;
}

/** Compares the last validation with the best; null without any. */
export function summarizeValidations(
  rows: readonly ValidationRow[],
  { lowerIsBetter, samples }: SummaryOptions,
): ValidationSummary | null {
  const best = rows.findLast((row) => row.best);
  const last = rows.at(-1);
  if (best === undefined || last === undefined) return null;
  const loss = lowerIsBetter ? last.value - best.value : best.value - last.value;
  const variance = best.value * (1 - best.value) + last.value * (1 - last.value);
  const isFraction = !lowerIsBetter && variance >= 0;
  const error =
    samples === undefined || !isFraction ? null : 1.96 * Math.sqrt(Math.max(0, variance) / samples);
  return { best, last, loss, error };
}

/** Describes where the best point was, and whether the last is worse by more than the sampling error. */
export function describeSummary({ best, last, loss, error }: ValidationSummary): string {
  const at = `after ${percent(best.progress)} of the budget (step ${best.step}, ${best.samples} samples)`;
  if (loss <= 0 && best.step < last.step) {
    return `The last validation is as good as the best, ${at}: ${best.metric} ${last.value.toFixed(4)}, no sign of overfitting.`;
  }
  if (loss <= 0) {
    return `The validation is best at the end, ${best.metric} ${last.value.toFixed(4)}: no sign of overfitting.`;
  }
  const fall = `best ${at}: ${best.metric} ${best.value.toFixed(4)}; the last, ${last.value.toFixed(4)}, is worse by ${loss.toFixed(4)}`;
  if (error !== null && loss <= error) {
    return `The validation was ${fall}, which is within the sampling error (±${error.toFixed(4)}).`;
  }
  return `The validation was ${fall}: from there on the model learned its data by heart. A budget that ends there, more data, or a stronger augmentation would serve better.`;
}

function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}
