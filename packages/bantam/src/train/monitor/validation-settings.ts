import { UsageError } from '../../base/errors.js';

/** How a run is measured while it trains. */
export interface ValidationSettings {
  /** Source specification of data to measure on; empty: none. */
  data: string;
  /** A metric as evaluation names it. */
  metric: string;
  /** Share of the budget from one validation to the next. */
  every: number;
  /** Validations without a better value after which training ends; 0: it never ends early. */
  patience: number;
}

/** No validation; the rest holds where data are named. */
export const defaultValidationSettings: Readonly<ValidationSettings> = {
  data: '',
  metric: 'image_retrieval_recall@1',
  every: 0.1,
  patience: 0,
};

/** @throws UsageError for the first setting that is out of its range, or has no data to go with. */
export function checkValidation({ data, metric, every, patience }: ValidationSettings): void {
  if (!(every > 0 && every <= 1)) {
    throw new UsageError(
      `The setting 'validation.every' must be a share of the budget above 0 and at most 1, not ${every}.`,
    );
  }
  if (!Number.isInteger(patience) || patience < 0) {
    throw new UsageError(
      `The setting 'validation.patience' must be a whole number of at least 0, not ${patience}.`,
    );
  }
  const { metric: usual } = defaultValidationSettings;
  if (data === '' && (patience > 0 || metric !== usual)) {
    const name = patience > 0 ? 'patience' : 'metric';
    throw new UsageError(
      `The setting 'validation.${name}' has no data to validate on; name them with --validate SPEC.`,
    );
  }
}
