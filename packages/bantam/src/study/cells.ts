/** Results of a study as text, in the units of tables: hundredths of fractions, and ranks. */
import type { StudyColumn } from './config/metrics.js';
import type { ArmComparison, ArmResult, MetricSummary } from './results.js';

type Unit = Pick<StudyColumn, 'lowerIsBetter'>;

/** A value in percent, or a rank, with one decimal. */
function shown(value: number, { lowerIsBetter }: Unit): string {
  return (lowerIsBetter ? value : 100 * value).toFixed(1);
}

/** `43.6 ± 1.2 (0.9)`: mean, and halves of the intervals of seeds and of sampling; a dash if there is none. */
export function summaryCell(summary: MetricSummary | undefined, unit: Unit): string {
  if (summary === undefined) return '–';
  const { mean, interval, samplingError } = summary;
  const around = interval === null ? '' : ` ± ${shown((interval[1] - interval[0]) / 2, unit)}`;
  const sampling = samplingError === null ? '' : ` (${shown(samplingError, unit)})`;
  return `${shown(mean, unit)}${around}${sampling}`;
}

/** Names of {@link comparisonCells}. */
export const comparisonHead = ['difference', '95 %', 'p', 'adjusted p'] as const;

/** Difference, interval, p-value, and p-value by Holm's method of a comparison; dashes for what it has not. */
export function comparisonCells(
  { difference, interval, pValue, adjusted }: ArmComparison,
  unit: Unit,
): [difference: string, interval: string, p: string, adjusted: string] {
  return [
    shown(difference, unit),
    interval === null ? '–' : `${shown(interval[0], unit)} to ${shown(interval[1], unit)}`,
    pValue?.toPrecision(2) ?? '–',
    adjusted?.toPrecision(2) ?? '–',
  ];
}

/** A sentence about the learning rates of a study without a search, with the peaks of its arms. */
export function untunedRates(arms: readonly Pick<ArmResult, 'rows'>[]): string {
  const rates = new Set(arms.flatMap(({ rows }) => rows.map(({ lr }) => lr)));
  const peaks = [...rates].sort((a, b) => a - b).join(', ');
  return `Learning rates as in the file: not tuned${peaks === '' ? '' : ` (peak ${peaks})`}.`;
}
