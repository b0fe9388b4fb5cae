import type { Validator } from '../../eval/index.js';
import { saveModel } from '../../models/index.js';
import type { TrainEvent } from './events.js';
import { trainedModel, type TrainedParts } from '../run-dir/model-directory.js';
import { resolvePrecision } from '../../base/precision.js';
import { runPaths } from '../run-dir/paths.js';
import type { ValidationHistory, ValidationRow } from './validation.js';

/** What {@link validate} works with. */
export interface ValidateOptions {
  readonly validator: Validator;
  readonly history: ValidationHistory;
  readonly emit: (event: TrainEvent) => void;
}

/**
 * Measures what training has come to. Where it is the best so far, its model directory takes the
 * place of `best/`, whole or not at all, before the row is written: a run that ends in between
 * makes the validation again.
 */
export async function validate(
  parts: TrainedParts,
  { validator, history, emit }: ValidateOptions,
): Promise<ValidationRow> {
  const { run, config, trainer } = parts;
  const { data, metric } = config.validation;
  const trained = trainedModel(parts);
  using model = trained.model;
  const value = await validator.measure(trained, {
    precision: resolvePrecision(config.train.precision),
    onProgress: (message) => {
      emit({ kind: 'validating', message });
    },
  });
  const best = history.isBetter(value);
  if (best) {
    const info = { ...trained.info, validation: { data, metric, value } };
    await saveModel(runPaths(run).best, { ...trained, model, info });
  }
  const { step, spent, progress } = trainer;
  const row = { step, samples: spent.samples, progress, metric, value, best };
  history.add(row);
  emit({ kind: 'validation', ...row });
  return row;
}
