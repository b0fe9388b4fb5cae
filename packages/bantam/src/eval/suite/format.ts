import { formatMetricTable, wrapText } from '../format-tables.js';
import { formatMetric, metricTables } from '../tables.js';
import { formatRobustness } from './format-robustness.js';
import type { SuiteReport } from './suite-result.js';

/** A suite's results as text for a terminal: tables of each model, averages, what is missing. */
export function formatSuite({
  suite,
  models,
  results,
  averages,
  robustness,
  missing,
  refused,
}: Omit<SuiteReport, 'protocols' | 'reused' | 'seconds'>): string {
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
    lines.length === 0 ? [] : [[title, ...lines.map(indented)].join('\n')];
  return [
    ...tables,
    ...part(`Main metrics of the suite "${suite}":`, means),
    ...robustness.map(formatRobustness),
    ...part('Missing:', without),
    ...part('Not measured:', not),
  ].join('\n\n');
}

/** A text that is broken into lines, the first by two spaces, the others by four. */
function indented(text: string): string {
  return `  ${wrapText(text, 76).replaceAll('\n', '\n    ')}`;
}
