import { BantamError } from '../../base/errors.js';
import {
  effectiveRobustness,
  predicted,
  robustnessLine,
  type RobustnessPoint,
} from '../statistics/effective-robustness.js';
import { differenceInterval, type Interval } from '../statistics/intervals.js';
import type {
  ModelRobustness,
  NamedPoint,
  ShiftPair,
  ShiftRobustness,
  SuiteEntry,
  SuiteModel,
} from './suite-result.js';
import type { Suite } from './suite-schema.js';

/** The members of a {@link SuiteEntry} that effective robustness needs. */
type Entry = Pick<SuiteEntry, 'model' | 'dataset' | 'labels' | 'main' | 'metrics' | 'intervals'> & {
  readonly task: string;
};

/** Results and models of an earlier report. */
export interface Baselines {
  readonly results: readonly Entry[];
  readonly models: readonly Pick<SuiteModel, 'name' | 'hash'>[];
}

/** Metrics that are accuracies, the first of a task's results is taken unless the suite names one. */
const accuracies = ['acc1', 'lp_acc1'];

/**
 * Effective robustness (Taori et al. 2020) of each model on each data set that is a shift of
 * another: the accuracy beyond what a line on logit axes predicts from the accuracy on the
 * reference. The line is that of the baselines; without any it is that of the other models of the
 * run, if there are two with different accuracies on the reference. A baseline with the same
 * files as the model is no baseline of it.
 *
 * @throws BantamError if baselines are given and have two different accuracies for none of the pairs.
 */
export function suiteRobustness(
  { datasets }: Suite,
  run: Baselines,
  baselines: readonly Baselines[] = [],
): ShiftRobustness[] {
  return datasets.flatMap(({ name, shiftOf }) =>
    shiftOf === undefined
      ? []
      : pairsOf(run.results, name, shiftOf).map((pair) => measure(pair, run, baselines)),
  );
}

/** Tasks and classifications that have results on both data sets. */
function pairsOf(results: readonly Entry[], dataset: string, shiftOf: string): ShiftPair[] {
  const pairs = new Map<string, ShiftPair>();
  for (const { dataset: name, task, labels, main, metrics } of results) {
    if (name !== dataset) continue;
    const metric = [main, ...accuracies].find((one) => typeof metrics[one ?? ''] === 'number');
    if (metric === undefined) continue;
    const pair = { dataset, shiftOf, task, ...(labels !== undefined && { labels }), metric };
    if (results.some((entry) => valueOf(entry, pair, shiftOf) !== undefined)) {
      pairs.set(JSON.stringify([task, labels]), pair);
    }
  }
  return [...pairs.values()];
}

/** An entry's value of a pair's metric, if the entry is of the data set. */
function valueOf(
  entry: Entry,
  { task, labels, metric }: Pick<ShiftPair, 'task' | 'labels' | 'metric'>,
  dataset: string,
): number | undefined {
  const isOf = entry.dataset === dataset && entry.task === task && entry.labels === labels;
  const value = isOf ? entry.metrics[metric] : undefined;
  return typeof value === 'number' ? value : undefined;
}

/** The entries of a model on the reference and on the shifted data set. */
function entriesOf(results: readonly Entry[], pair: ShiftPair, model: string) {
  const own = results.filter((entry) => entry.model === model);
  const shifted = own.find((entry) => valueOf(entry, pair, pair.dataset) !== undefined);
  const reference = own.find((entry) => valueOf(entry, pair, pair.shiftOf) !== undefined);
  return shifted === undefined || reference === undefined ? undefined : { shifted, reference };
}

function pointsOf(
  { models, results }: Baselines,
  pair: ShiftPair,
): (NamedPoint & { readonly hash: string })[] {
  return models.flatMap(({ name, hash }) => {
    const entries = entriesOf(results, pair, name);
    if (entries === undefined) return [];
    const reference = valueOf(entries.reference, pair, pair.shiftOf);
    const shifted = valueOf(entries.shifted, pair, pair.dataset);
    if (reference === undefined || shifted === undefined) return [];
    return [{ name, hash, reference, shifted }];
  });
}

function measure(
  pair: ShiftPair,
  run: Baselines,
  baselines: readonly Baselines[],
): ShiftRobustness {
  const given = baselines.flatMap((one) => pointsOf(one, pair));
  const own = pointsOf(run, pair);
  const measured: ModelRobustness[] = [];
  const without: { model: string; reason: string }[] = [];
  for (const point of own) {
    const { name: model, hash } = point;
    const others = (baselines.length > 0 ? given : own).filter((one) => one.hash !== hash);
    const entries = entriesOf(run.results, pair, model);
    if (entries === undefined) continue;
    try {
      const line = robustnessLine(others);
      const { reference, shifted } = point;
      const bounds = intervalOf(entries.reference, pair.metric, reference).map((bound) =>
        predicted(bound, line),
      );
      const expected = predicted(reference, line);
      measured.push({
        model,
        reference,
        shifted,
        line,
        of: others.map(({ name }) => name),
        predicted: expected,
        effective: effectiveRobustness(point, line),
        interval: differenceInterval(
          { value: shifted, interval: intervalOf(entries.shifted, pair.metric, shifted) },
          { value: expected, interval: [Math.min(...bounds), Math.max(...bounds)] },
        ),
      });
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      without.push({ model, reason: error.message });
    }
  }
  const points = given.map(({ name, reference, shifted }) => ({ name, reference, shifted }));
  return { ...pair, models: measured, without, baselines: points, spread: spreadOf(points) };
}

/** The interval of a metric; the value alone where the result has none. */
function intervalOf({ intervals = {} }: Entry, metric: string, value: number): Interval {
  const alone: Interval = [value, value];
  const { [metric]: found = alone } = intervals;
  return found;
}

function spreadOf(points: readonly RobustnessPoint[]): number | null {
  if (points.length < 3) return null;
  try {
    const line = robustnessLine(points);
    const squares = points.reduce((sum, point) => sum + effectiveRobustness(point, line) ** 2, 0);
    return Math.sqrt(squares / points.length);
  } catch (error) {
    if (error instanceof BantamError) return null;
    throw error;
  }
}

/**
 * Refuses baselines that give no line for any data set of the suite, before anything is measured.
 *
 * @throws BantamError naming the data sets that the baselines should have.
 */
export function checkBaselines(
  { name, datasets }: Suite,
  baselines: readonly Baselines[],
  files: readonly string[],
): void {
  if (baselines.length === 0) return;
  const shifts = datasets.flatMap((dataset) =>
    dataset.shiftOf === undefined ? [] : [{ ...dataset, shiftOf: dataset.shiftOf }],
  );
  const [first] = shifts;
  if (first === undefined) {
    throw new BantamError(
      `The suite "${name}" has no data set with "shiftOf", so baselines are of no use to it; say which data set is a shift of which.`,
    );
  }
  const results = baselines.flatMap((one) => one.results);
  const usable = shifts.some(({ name: dataset, shiftOf }) =>
    pairsOf(results, dataset, shiftOf).some((pair) => {
      const references = baselines.flatMap((one) => pointsOf(one, pair));
      return new Set(references.map(({ reference }) => reference)).size > 1;
    }),
  );
  if (usable) return;
  throw new BantamError(
    `The baselines ${files.map((file) => `"${file}"`).join(', ')} hold no two models with different results on a data set and its shift, such as "${first.shiftOf}" and "${first.name}"; measure baselines with the suite "${name}".`,
  );
}
