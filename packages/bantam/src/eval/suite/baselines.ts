import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import type { Baselines } from './robustness.js';

const entrySchema = v.object({
  model: v.string(),
  dataset: v.string(),
  task: v.string(),
  labels: v.exactOptional(v.string()),
  main: v.exactOptional(v.string()),
  metrics: v.record(v.string(), v.nullable(v.number())),
});
const reportSchema = v.object({
  models: v.array(v.object({ name: v.string(), hash: v.string() })),
  results: v.array(entrySchema),
});

/**
 * Reads a `results.json` of an earlier suite, whose models are to be baselines.
 *
 * @throws BantamError if it is none.
 */
export async function readBaselines(path: string): Promise<Baselines> {
  const value = await readJson(path, 'report');
  if (value === undefined) {
    throw new BantamError(
      `There are no baselines "${path}"; name the results.json of an earlier "bantam eval --suite".`,
    );
  }
  const { success, output } = v.safeParse(reportSchema, value);
  if (success) return output;
  throw new BantamError(
    `"${path}" is no report of a suite; name the results.json of an earlier "bantam eval --suite".`,
  );
}
