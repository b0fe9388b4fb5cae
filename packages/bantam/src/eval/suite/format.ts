import { formatMetric, formatMetricTable, metricTables } from '../tables.js';
import type { SuiteReport } from './suite-result.js';

/** A suite's results as text for a terminal: tables of each model, averages, what is missing. */
export function formatSuite({
  suite,
  models,
  results,
  averages,
  missing,
  refused,
}: Pick<SuiteReport, 'suite' | 'models' | 'results' | 'averages' | 'missing' | 'refused'>): string {
  const tables = models.flatMap(({ name }) => [
    `== ${name} ==`,
    ...metricTables(results.filter(({ model }) => model === name)).map(formatMetricTable),
  ]);
  const means = averages.map(
    ({ model, name, value, measured, of }) =>
      `${model}: ${name} ${formatMetric(value, 'fraction')}, mean of ${measured} of ${of} data sets`,
  );
  const without = missing.map(
    ({ name, reason, get }) => `${name}: ${reason}${get === undefined ? '' : ` Get ${get}.`}`,
  );
  const not = refused.map(
    ({ model, dataset, task, reason }) => `${model}, ${dataset}, ${task}: ${reason}`,
  );
  const part = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [[title, ...lines.map((line) => `  ${line}`)].join('\n')];
  return [
    ...tables,
    ...part(`Main metrics of the suite "${suite}":`, means),
    ...part('Missing:', without),
    ...part('Not measured:', not),
  ].join('\n\n');
}
