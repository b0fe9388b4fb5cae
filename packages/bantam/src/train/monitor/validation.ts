/** Validation while a model trains: when it is due, its history, the best weights. */
import { appendJsonLine, keepJsonLines } from '../../base/json-lines.js';
import { resolvePrecision } from '../../base/precision.js';
import { openValidator, type OpenValidator, type Validator } from '../../eval/index.js';
import type { HeldOutSplit } from '../../data/index.js';
import type { TrainConfig } from '../config/config.js';
import { heldOutData, namesValidation } from '../config/hold-out.js';
import type { ValidationSettings } from '../config/settings.js';
import type { TrainingContext } from '../loop/context.js';
import type { Trainer } from '../loop/trainer.js';
import type { ValidationRow } from '../run-dir/metrics.js';
import { saveRunModel, trainedModel } from '../run-dir/model-directory.js';
import { runPaths } from '../run-dir/paths.js';

/**
 * The validator that a configuration asks for; null: none, also where it is of held-out data that are not
 * there yet.
 */
export async function validatorOf(
  { validation }: Pick<TrainConfig, 'validation'>,
  open: OpenValidator = openValidator,
  split: HeldOutSplit | null = null,
): Promise<Validator | null> {
  if (!namesValidation(validation)) return null;
  if (validation.data !== heldOutData) return open(validation);
  return split === null ? null : open({ ...validation, source: split.heldOut });
}

/** Options of {@link ValidationHistory}. */
export interface ValidationHistoryOptions {
  readonly run: string;
  /** Rows of steps after this one are dropped: training will write them again. */
  readonly resumedAt: number;
  readonly settings: ValidationSettings;
  readonly lowerIsBetter: boolean;
}

/** The validations of a run: the best one, when the next is due, whether to stop early. */
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

  /** All of them so far. */
  get rows(): readonly ValidationRow[] {
    return this.#rows;
  }

  /** The best validation. */
  get best(): ValidationRow | null {
    return this.#rows.findLast(({ best }) => best) ?? null;
  }

  /** True if too many validations in a row were no better. */
  get exhausted(): boolean {
    const { patience } = this.#options.settings;
    const since = this.#rows.length - 1 - this.#rows.findLastIndex(({ best }) => best);
    return patience > 0 && since >= patience;
  }

  /** Why training ends, once {@link exhausted}. */
  earlyStopMessage(): string {
    const { metric, patience } = this.#options.settings;
    const than = this.best === null ? '' : ` than ${this.best.value} at step ${this.best.step}`;
    const validations = patience === 1 ? 'a validation' : `${patience} validations in a row`;
    return `Training ends early: ${validations} gave no better ${metric}${than}.`;
  }

  /** True if a validation is due at a fraction of the budget: at each multiple, and the end. */
  due(progress: number): boolean {
    const { every } = this.#options.settings;
    const before = this.#rows.at(-1)?.progress ?? 0;
    if (progress >= 1) return before < 1;
    // Fractions such as 3 · 0.1 are not exact.
    const passed = (fraction: number): number => Math.floor(fraction / every + 1e-9);
    return passed(progress) > passed(before);
  }

  /** True if a value is better than all before. */
  isBetter(value: number): boolean {
    const { best } = this;
    if (best === null) return true;
    return this.#options.lowerIsBetter ? value < best.value : value > best.value;
  }

  /** Adds a validation and writes it down. */
  add(row: ValidationRow): void {
    this.#rows.push(row);
    appendJsonLine(this.#path, row);
  }
}

/** Options of {@link validate}. */
export interface ValidateOptions {
  readonly run: string;
  readonly trainer: Trainer;
  readonly validator: Validator;
  readonly history: ValidationHistory;
}

/**
 * Validates the trained model. If it is the best so far, its model directory replaces `best/`, whole
 * or not at all, before the row is written: a run that ends in between validates again.
 *
 * @throws the reason of the context's signal when that comes.
 */
export async function validate(
  context: TrainingContext,
  { run, trainer, validator, history }: ValidateOptions,
): Promise<ValidationRow> {
  const { config, emit, signal } = context;
  const { data, metric } = config.validation;
  const trained = trainedModel(context, trainer);
  using model = trained.model;
  const precision = resolvePrecision(config.train.precision, context.device);
  const value = await validator.measure(trained, {
    // The copy that is validated and saved has float32 weights.
    precision: precision === 'float64' ? 'float32' : precision,
    signal,
    onProgress: (message) => {
      emit({ kind: 'validating', message });
    },
  });
  const best = history.isBetter(value);
  if (best) {
    const info = { ...trained.info, validation: { data, metric, value } };
    await saveRunModel(runPaths(run).best, context, {
      trainer,
      trained: { ...trained, model, info },
    });
  }
  const { step, spent, progress } = trainer;
  const row = { step, samples: spent.samples, progress, metric, value, best };
  history.add(row);
  emit({ kind: 'validation', ...row });
  return row;
}
