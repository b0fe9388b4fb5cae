import { figuresOf } from './figures.js';
import { precise, times } from './format.js';
import type { CaseResult, SkippedCase } from './results.js';
import { describeSettings } from './settings-text.js';

/** A share of the processors from which on other programs make a figure doubtful. */
const disturbed = 0.05;

/** What a case gave, in a line or two for the terminal. */
export function summary(result: CaseResult | SkippedCase, cores: number): string {
  if ('reason' in result) return `${result.name}: skipped. ${result.reason}`;
  const { bantam, peer, ratio, cpuRatio, share, memoryRatio, disturbance } = figuresOf(
    result,
    cores,
  );
  const parts = [`Bantam ${precise(bantam)} samples/s`];
  if (peer !== null && ratio !== null) {
    parts.push(
      `peer ${precise(peer)} (${describeSettings(result.settings)})`,
      `ratio ${times(ratio.median)} (${precise(ratio.lowest)} to ${precise(ratio.highest)})`,
    );
  }
  if (cpuRatio !== null) parts.push(`by processor time ${times(cpuRatio.median)}`);
  if (share !== null) parts.push(`${(100 * share).toFixed(0)} % of its products' rate`);
  if (memoryRatio !== null) parts.push(`memory ${memoryRatio.toFixed(2)} of the peer's`);
  const doubt =
    disturbance !== null && disturbance > disturbed
      ? `\n  Other programs took up to ${(100 * disturbance).toFixed(0)} % of the processors: measure again on a quiet machine.`
      : '';
  return `${result.name}: ${parts.join(', ')}${doubt}`;
}
