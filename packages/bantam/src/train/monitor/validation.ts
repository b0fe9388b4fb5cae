import { openValidator, type OpenValidator, type Validator } from '../../eval/index.js';
import type { TrainConfig } from '../config/config.js';
import { appendJsonLine, keepJsonLines, readJsonLines } from '../../base/json-lines.js';
import { runPaths } from '../run-dir/paths.js';
import type { ValidationSettings } from './validation-settings.js';

/** The validator that a configuration asks for; null: none. */
export async function validatorOf(
  { validation }: Pick<TrainConfig, 'validation'>,
  open: OpenValidator = openValidator,
): Promise<Validator | null> {
  return validation.data === '' ? null : open(validation);
}

/** A line of `validation.jsonl`. */
export interface ValidationRow {
  readonly step: number;
  /** Samples seen. */
  readonly samples: number;
  /** Share of the budget used, 0 … 1. */
  readonly progress: number;
  readonly metric: string;
  readonly value: number;
  /** Whether it is better than all before. */
  readonly best: boolean;
}

/** The validations of a run so far. */
export function readValidations(run: string): ValidationRow[] {
  return readJsonLines(runPaths(run).validation);
}

/** Options of {@link ValidationHistory}. */
export interface ValidationHistoryOptions {
  readonly run: string;
  /** Rows of steps after this one are dropped: training will write them again. */
  readonly resumedAt: number;
  readonly settings: ValidationSettings;
  readonly lowerIsBetter: boolean;
}

/** What validations found: when the next is due, which was best, whether to go on. */
export class ValidationHistory {
  readonly #options: ValidationHistoryOptions;
  readonly #path: string;
  readonly #rows: ValidationRow[];

  constructor(options: ValidationHistoryOptions) {
    const { run, resumedAt } = options;
    this.#options = options;
    this.#path = runPaths(run).validation;
    this.#rows = keepJsonLines<ValidationRow>(this.#path, ({ step }) => step <= resumedAt);
  }

  /** The best validation. */
  get best(): ValidationRow | null {
    return this.#rows.findLast(({ best }) => best) ?? null;
  }

  /** Whether too many validations in a row brought nothing better. */
  get exhausted(): boolean {
    const { patience } = this.#options.settings;
    const since = this.#rows.length - 1 - this.#rows.findLastIndex(({ best }) => best);
    return patience > 0 && since >= patience;
  }

  /** Why training ends, once they are exhausted. */
  farewell(): string {
    const { metric, patience } = this.#options.settings;
    const than = this.best === null ? '' : ` than ${this.best.value} at step ${this.best.step}`;
    const validations = patience === 1 ? 'a validation' : `${patience} validations in a row`;
    return `Training ends early: ${validations} gave no better ${metric}${than}.`;
  }

  /** Whether a validation is to be made at this share of the budget: at each multiple, and the end. */
  due(progress: number): boolean {
    const { every } = this.#options.settings;
    const before = this.#rows.at(-1)?.progress ?? 0;
    if (progress >= 1) return before < 1;
    // Shares such as 3 · 0.1 are not exact.
    const passed = (share: number): number => Math.floor(share / every + 1e-9);
    return passed(progress) > passed(before);
  }

  /** Whether a value is better than all before. */
  isBetter(value: number): boolean {
    const { best } = this;
    if (best === null) return true;
    return this.#options.lowerIsBetter ? value < best.value : value > best.value;
  }

  /** Takes a validation in and writes it down. */
  add(row: ValidationRow): void {
    this.#rows.push(row);
    appendJsonLine(this.#path, row);
  }
}
