import type { Interval } from '../statistics/intervals.js';

/** Named values and what they would be by chance. A metric that does not apply is null. */
export interface Scores {
  readonly metrics: Record<string, number | null>;
  readonly chance: Record<string, number | null>;
  /** 95 % intervals: the sampling error of the metrics that have one. */
  readonly intervals?: Record<string, Interval>;
}
