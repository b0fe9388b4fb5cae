import { BantamError } from '../../base/errors.js';
import { appendJsonLine, keepJsonLines } from '../../base/json-lines.js';
import type { SkippedStep } from '../loop/trainer.js';

/** A line of `non-finite.jsonl`: a step that was skipped. Numbers that JSON has not are strings. */
export interface NonFiniteRow {
  /** Number of the step that it would have been. */
  readonly step: number;
  /** Samples seen, with those of this step. */
  readonly samples: number;
  readonly loss: number | string;
  readonly gradNorm: number | string;
  /** Keys of its samples. */
  readonly keys: readonly string[];
}

/** Rollbacks to a checkpoint before training gives up. */
const maxRollbacks = 3;

/** Steps in a row after which a rollback counts as a success. */
const successfulSteps = 100;

/** Options of {@link Recovery}. */
export interface RecoveryOptions {
  /** The file for {@link NonFiniteRow}s. */
  readonly path: string;
  /** Lines of samples after these are dropped: training will write them again. */
  readonly resumedAt: number;
  /** Skipped steps in a row after which the weights of a checkpoint are restored. */
  readonly maxSkips: number;
  /** Restores the weights of the last checkpoint; returns its path, null if there is none. */
  readonly rollBack: () => string | null;
  /** Receives messages for people. */
  readonly onNote: (message: string) => void;
}

/**
 * Handles steps whose loss or gradient is not finite: each is named in a file; after some in a row the
 * weights of the last checkpoint are restored, and after three such rollbacks without 100 finite steps
 * in between training ends.
 */
export class Recovery {
  readonly #options: RecoveryOptions;
  #skipped: number;
  #inRow = 0;
  #rollbacks = 0;
  #finite = 0;

  constructor(options: RecoveryOptions) {
    const { path, resumedAt } = options;
    this.#options = options;
    this.#skipped = keepJsonLines<NonFiniteRow>(path, ({ samples }) => samples <= resumedAt).length;
  }

  /** Steps that were skipped since the run started. */
  get count(): number {
    return this.#skipped;
  }

  /** Records a step that was taken. */
  take(): void {
    this.#inRow = 0;
    this.#finite += 1;
    if (this.#finite >= successfulSteps) this.#rollbacks = 0;
  }

  /**
   * Records a step that was skipped, and rolls back to a checkpoint after too many.
   *
   * @throws BantamError if that does not help, or there is no checkpoint.
   */
  skip(step: SkippedStep): void {
    const { path, maxSkips, onNote } = this.#options;
    const row: NonFiniteRow = {
      step: step.step,
      samples: step.samples,
      loss: finiteOrName(step.loss),
      gradNorm: finiteOrName(step.gradNorm),
      keys: step.keys,
    };
    appendJsonLine(path, row);
    this.#skipped += 1;
    this.#inRow += 1;
    onNote(
      `Skipped step ${step.step}: its loss is ${row.loss}, its gradient has norm ${row.gradNorm}; ${path} names the samples.`,
    );
    if (this.#inRow < maxSkips) return;
    const which = maxSkips === 1 ? 'a step' : `${maxSkips} steps in a row`;
    this.rollBack(`loss or gradient were not finite in ${which}`, step.step);
  }

  /**
   * Restores the weights of the last checkpoint.
   *
   * @throws BantamError if there is none, or too many rollbacks did not help.
   */
  rollBack(reason: string, step: number): void {
    const { path, rollBack, onNote } = this.#options;
    const exhausted = this.#rollbacks >= maxRollbacks;
    const checkpoint = exhausted ? null : rollBack();
    if (checkpoint === null) {
      const vain = exhausted
        ? `${maxRollbacks} rollbacks to a checkpoint did not help`
        : 'there is no checkpoint to roll back to';
      const samples = this.#skipped > 0 ? `, or without the samples that ${path} names` : '';
      throw new BantamError(
        `Training stopped at step ${step}: ${reason}, and ${vain}; start again with a lower train.lr${samples}.`,
      );
    }
    this.#rollbacks += 1;
    this.#inRow = 0;
    this.#finite = 0;
    onNote(
      `The weights of ${checkpoint} are restored, as ${reason}; training resumes with the data that follow.`,
    );
  }
}

function finiteOrName(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
