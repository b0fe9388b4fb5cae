/** The learning curve of a training whose schedule ends on its budget: error by samples, from chance to a floor. */
import { effectiveSamples, type RepeatedPoint } from './laws.js';

/** Parameters of {@link curveError}. */
export interface LearningCurve {
  /** E₀, the error without training: 1 − chance. */
  readonly start: number;
  /** E∞, the error that no number of samples removes. */
  readonly floor: number;
  /** s, the effective samples at which learning sets in. */
  readonly scale: number;
  /** c, how suddenly it sets in. */
  readonly onset: number;
  /** k; the error falls as D′^(−c·k) later on. */
  readonly tail: number;
  /** R*, the repeats after which samples are worth 1/e of new ones; see {@link effectiveSamples}. */
  readonly repeats: number;
}

/**
 * E(U, D) = E∞ + (E₀ − E∞)·(1 + (D′/s)^c)^−k with the effective samples D′ of D samples of U different
 * pairs: Burr's survival function (1942, type XII). A power law with an offset cannot have the plateau
 * near chance that the shortest runs of small models are on: in four times the samples their −ln E grows
 * up to twentyfold.
 */
export function curveError(curve: LearningCurve, point: RepeatedPoint): number {
  const { start, floor, scale, onset, tail, repeats } = curve;
  const seen = effectiveSamples(point, repeats) / scale;
  return floor + (start - floor) * (1 + seen ** onset) ** -tail;
}
