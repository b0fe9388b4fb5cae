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
  const points = (100 * Math.abs(difference)).toFixed(1);
  const p = formatPValue(pValue);
  const range = (ends: readonly [number, number]): string =>
    `95 % interval of the difference ${formatInterval(ends, 'fraction')}, ${p}`;
  if (!differs) return `No difference in ${metric} is shown: ${range(interval)}.`;
  const [low, high] = interval;
  const [better, worse] = difference > 0 ? [names[1], names[0]] : names;
  // Of the better less the worse, like the points.
  const ends = difference > 0 ? interval : ([-high, -low] as const);
  return `${better} is better than ${worse} by ${points} points of ${metric}: ${range(ends)}.`;
}

/** Comparisons as text for a terminal. */
export function formatComparisons(
  comparisons: readonly HitsComparison[],
  names: readonly [string, string],
): string {
  return comparisons
    .map((comparison) => {
      const { dataset, task, labels, metric, values, onlyFirst, onlySecond, items } = comparison;
      const of = labels === undefined ? task : `${task} of ${labels}`;
      return [
        `${dataset}: ${of}, ${metric}`,
        `  ${names[0]}: ${formatMetric(values[0], 'fraction')}, ${names[1]}: ${formatMetric(values[1], 'fraction')}, of ${items}`,
        `  only ${names[0]} is right: ${onlyFirst}, only ${names[1]}: ${onlySecond}`,
        `  ${verdictOf(comparison, names)}`,
        ...listed(`only ${names[0]} is right:`, comparison.firstRight),
        ...listed(`only ${names[1]} is right:`, comparison.secondRight),
      ].join('\n');
    })
    .join('\n\n');
}

function listed(title: string, items: readonly Disagreement[]): string[] {
  if (items.length === 0) return [];
  const lines = items.slice(0, shown).map(({ key, truth, answers }) => {
    if (truth === undefined || answers === undefined) return `    ${key}`;
    return `    ${key}: ${truth}, taken for ${answers[0]} and ${answers[1]}`;
  });
  return [`  ${title}`, ...lines];
}
