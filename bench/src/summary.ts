import { figuresOf } from './figures.js';
import { precise, times } from './format.js';
import type { CaseResult, SkippedCase } from './results.js';
import { describeSettings } from './settings-text.js';

/** Fraction of the CPUs above which other programs make a figure doubtful. */
const disturbed = 0.05;

/** A result in a line or two for the terminal. */
export function summary(result: CaseResult | SkippedCase, cores: number): string {
  if ('reason' in result) return `${result.name}: skipped. ${result.reason}`;
  const { bantam, baseline, ratio, cpuRatio, productFraction, memoryRatio, disturbance } =
    figuresOf(result, cores);
  const parts = [`Bantam ${precise(bantam)} samples/s`];
  if (baseline !== null && ratio !== null) {
    parts.push(
      `baseline ${precise(baseline)} (${describeSettings(result.settings)})`,
      `ratio ${times(ratio.median)} (${precise(ratio.lowest)} to ${precise(ratio.highest)})`,
    );
  }
  if (cpuRatio !== null) parts.push(`by CPU time ${times(cpuRatio.median)}`);
  if (productFraction !== null)
    parts.push(`${(100 * productFraction).toFixed(0)} % of its products' rate`);
  if (memoryRatio !== null) parts.push(`memory ${memoryRatio.toFixed(2)} of the baseline's`);
  const doubt =
    disturbance !== null && disturbance > disturbed
      ? `\n  Other programs took up to ${(100 * disturbance).toFixed(0)} % of the CPUs: measure again on a quiet machine.`
      : '';
  return `${result.name}: ${parts.join(', ')}${doubt}`;
}
