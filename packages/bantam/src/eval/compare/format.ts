import { wrapText } from '../format-tables.js';
import { itemsOf, metricTitle } from '../metric-names.js';
import { formatInterval, formatMetric } from '../tables.js';
import type { Disagreement, HitsComparison } from './compare-hits.js';

/** Disagreements printed of each kind. */
const shown = 5;

/** `p = 0.012`, `p < 0.001` */
export function formatPValue(p: number): string {
  return p < 0.001 ? 'p < 0.001' : `p = ${p.toFixed(3)}`;
}

/** A sentence that says whether two models differ. */
export function verdictOf(
  { differs, difference, interval, pValue, metric }: HitsComparison,
  names: readonly [string, string],
): string {
  const title = metricTitle(metric);
  const points = (100 * Math.abs(difference)).toFixed(1);
  const p = formatPValue(pValue);
  const range = (ends: readonly [number, number]): string =>
    `95 % interval of the difference ${formatInterval(ends, 'fraction')}, ${p}`;
  if (!differs) return `No difference in ${title} is shown: ${range(interval)}.`;
  const [low, high] = interval;
  const [better, worse] = difference > 0 ? [names[1], names[0]] : names;
  // Of the better less the worse, like the points.
  const ends = difference > 0 ? interval : ([-high, -low] as const);
  return `${better} is better than ${worse} by ${points} points of ${title}: ${range(ends)}.`;
}

/** A comparison's data and metric: `photos: top-1 accuracy of label (acc1), zero-shot`. */
export function comparisonTitle({ dataset, task, labels, metric }: HitsComparison): string {
  const of = labels === undefined ? '' : ` of ${labels}`;
  return `${dataset}: ${metricTitle(metric)}${of} (${task}, ${metric})`;
}

/** Comparisons as text for a terminal. */
export function formatComparisons(
  comparisons: readonly HitsComparison[],
  names: readonly [string, string],
): string {
  return comparisons
    .map((comparison) => {
      const { metric, values, onlyFirst, onlySecond, items } = comparison;
      const of = itemsOf(metric, items);
      const line = (model: 0 | 1): string =>
        `  ${formatMetric(values[model], 'fraction').padStart(7)}  ${names[model]}`;
      return [
        comparisonTitle(comparison),
        line(0),
        line(1),
        indented(
          `of ${of}, ${onlyFirst} are right with ${names[0]} alone, ${onlySecond} with ${names[1]} alone.`,
        ),
        indented(verdictOf(comparison, names)),
        ...listed(names, 0, comparison.firstRight),
        ...listed(names, 1, comparison.secondRight),
      ].join('\n');
    })
    .join('\n\n');
}

function indented(text: string): string {
  return wrapText(text, 78)
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}

function listed(
  names: readonly [string, string],
  right: 0 | 1,
  items: readonly Disagreement[],
): string[] {
  if (items.length === 0) return [];
  const lines = items.slice(0, shown).map(({ key, query, truth, answers }) => {
    if (query !== undefined) return `    ${key}: “${query}”`;
    if (truth === undefined || answers === undefined) return `    ${key}`;
    const wrong = right === 0 ? 1 : 0;
    return `    ${key}: ${truth}; ${names[wrong]} says ${answers[wrong]}`;
  });
  return [`  right with ${names[right]} alone, such as:`, ...lines];
}
