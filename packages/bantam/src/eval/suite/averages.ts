import type { SuiteAverage, SuiteEntry, SuiteModel } from './suite-result.js';
import type { Suite } from './suite-schema.js';

/** Main metrics where a suite names none: the first that a data set's results have. */
const mainMetrics = [
  'acc1',
  'mean_average_precision',
  'mean_recall@1',
  'lp_acc1',
  'avg_jaccard_score',
];

/** A data set's main result of one model: the first with the main metric. */
export function mainScore(
  results: readonly SuiteEntry[],
  { model, dataset }: { readonly model: string; readonly dataset: string },
): { readonly metric: string; readonly value: number; readonly entry: SuiteEntry } | undefined {
  const own = results.filter((entry) => entry.model === model && entry.dataset === dataset);
  const named = own.find(({ main }) => main !== undefined)?.main;
  for (const metric of named === undefined ? mainMetrics : [named]) {
    for (const entry of own) {
      const value = entry.metrics[metric];
      if (typeof value === 'number') return { metric, value, entry };
    }
  }
  return undefined;
}

/** Means of the main metrics over all data sets and over those of each tag. */
export function averagesOf(
  { datasets }: Suite,
  models: readonly SuiteModel[],
  results: readonly SuiteEntry[],
): SuiteAverage[] {
  const tags = [...new Set(datasets.flatMap(({ tags: own = [] }) => own))];
  const groups = [
    { name: 'all', members: datasets },
    ...tags.map((name) => ({
      name,
      members: datasets.filter(({ tags: own = [] }) => own.includes(name)),
    })),
  ];
  return models.flatMap(({ name: model }) =>
    groups.flatMap(({ name, members }): SuiteAverage[] => {
      const values = members.flatMap(({ name: dataset }) => {
        const score = mainScore(results, { model, dataset });
        return score === undefined ? [] : [score.value];
      });
      if (values.length === 0) return [];
      const value = values.reduce((sum, one) => sum + one, 0) / values.length;
      return [{ model, name, value, measured: values.length, of: members.length }];
    }),
  );
}
