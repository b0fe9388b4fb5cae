import { BantamError } from '../../base/errors.js';
import type { EvalDataset } from '../datasets.js';
import { evaluate, type EvaluateOptions } from '../evaluate.js';
import type { InferenceModel } from '../load-for-inference.js';
import type { Hits } from '../tasks/dataset-context.js';
import { compareHits, type CompareHitsOptions, type HitsComparison } from './compare-hits.js';

/** Right and wrong answers of a model on data sets: what {@link compareAnswers} compares. */
export async function answersOf(
  { loaded, precision }: InferenceModel,
  specs: readonly (string | EvalDataset)[],
  options: Omit<EvaluateOptions, 'onHits' | 'precision'> = {},
): Promise<Hits[]> {
  const answers: Hits[] = [];
  await evaluate(loaded, specs, { ...options, precision, onHits: (hits) => answers.push(hits) });
  return answers;
}

/**
 * Compares the answers of two models, data set by data set and metric by metric.
 *
 * @throws BantamError if they are of different data.
 */
export function compareAnswers(
  first: readonly Hits[],
  second: readonly Hits[],
  options: CompareHitsOptions = {},
): HitsComparison[] {
  const nameOf = ({ dataset, task, metric, labels = '' }: Hits): string =>
    JSON.stringify([dataset, task, metric, labels]);
  const others = new Map(second.map((hits) => [nameOf(hits), hits]));
  return first.map((hits) => {
    const other = others.get(nameOf(hits));
    if (other !== undefined) return compareHits(hits, other, options);
    const { dataset, task, metric } = hits;
    throw new BantamError(
      `The second model has no answers for "${dataset}" (${task}, ${metric}), which the first one has; measure both on the same data.`,
    );
  });
}
