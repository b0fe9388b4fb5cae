import { alignCells, wrapText } from '../format-tables.js';
import { formatInterval, formatMetric } from '../tables.js';
import type { ShiftRobustness } from './suite-result.js';

/** A difference of fractions in points, with its sign: `+1.2`, `−0.4`. */
export function formatPoints(difference: number): string {
  const points = (100 * Math.abs(difference)).toFixed(1);
  return `${difference < 0 && points !== '0.0' ? '−' : '+'}${points}`;
}

/** Effective robustness on one shift as text for a terminal. */
export function formatRobustness(shift: ShiftRobustness): string {
  const { dataset, shiftOf, models, without } = shift;
  const rows = models.map(({ model, reference, shifted, predicted, effective, interval }) => [
    model,
    formatMetric(reference, 'fraction'),
    formatMetric(shifted, 'fraction'),
    formatMetric(predicted, 'fraction'),
    formatPoints(effective),
    formatInterval(interval, 'fraction'),
  ]);
  const head = ['', 'reference', 'shift', 'of the line', 'robustness', '95 %'];
  return [
    `Effective robustness on ${dataset}, a shift of ${shiftOf} (${measureOf(shift)}):`,
    ...(rows.length === 0 ? [] : [alignCells([head, ...rows])]),
    wrapText(describeLine(shift)),
    ...without.map(({ model, reason }) => wrapText(`${model}: ${reason}`)),
  ].join('\n');
}

/** Metric and task: `zero-shot of label, acc1`. */
export function measureOf({ task, labels, metric }: ShiftRobustness): string {
  return `${task}${labels === undefined ? '' : ` of ${labels}`}, ${metric}`;
}

/** A sentence that says which line effective robustness is measured against. */
export function describeLine({ baselines, models, spread }: ShiftRobustness): string {
  const [first, ...others] = models;
  if (first === undefined) return 'There is no line; name reports of other models as baselines.';
  const falls = models.some(({ line }) => line.slope <= 0)
    ? ' A line that does not rise predicts nothing: these models follow none.'
    : '';
  if (baselines.length === 0) {
    return `Each line is that of the other models of this run; with so few, name reports of others as baselines.${falls}`;
  }
  const isOne = others.every(({ line }) => line.slope === first.line.slope);
  const { slope, intercept } = first.line;
  const sign = intercept < 0 ? '−' : '+';
  const formula = isOne
    ? `: logit(shift) = ${slope.toFixed(2).replace('-', '−')}·logit(reference) ${sign} ${Math.abs(intercept).toFixed(2)}`
    : '';
  const miss =
    spread === null
      ? ''
      : ` They miss it by ${(100 * spread).toFixed(1)} points (root mean square).`;
  return `The line is that of ${baselines.length} baselines${formula}.${miss}${falls}`;
}
