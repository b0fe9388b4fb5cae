import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';

/** Accuracies of one model on the reference domain and on a shifted one. */
export interface RobustnessPoint {
  readonly reference: number;
  readonly shifted: number;
}

/** logit(shifted) = slope·logit(reference) + intercept. */
export interface RobustnessLine {
  readonly slope: number;
  readonly intercept: number;
}

/** ln(p/(1−p)); accuracies of 0 and 1 are moved inside by 1e-6, where the line would be infinite. */
export function logit(p: number): number {
  const inside = Math.min(1 - 1e-6, Math.max(1e-6, p));
  return Math.log(inside / (1 - inside));
}

function expit(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/**
 * The line that models of one family follow, by least squares on logit axes (Taori et al. 2020,
 * "Measuring robustness to natural distribution shifts", section 3.1; Miller et al. 2021).
 *
 * @throws BantamError for fewer than two different accuracies, which make no line.
 */
export function robustnessLine(points: readonly RobustnessPoint[]): RobustnessLine {
  const x = points.map(({ reference }) => logit(reference));
  const y = points.map(({ shifted }) => logit(shifted));

  const [mx, my] = [mean(x), mean(y)];
  let xx = 0;
  let xy = 0;
  x.forEach((value, i) => {
    xx += (value - mx) ** 2;
    xy += (value - mx) * (at(y, i) - my);
  });
  if (!(xx > 0)) {
    const lack =
      points.length < 2
        ? `${points.length === 0 ? 'No' : 'One'} model makes`
        : `${points.length} models with equal accuracies make`;
    throw new BantamError(
      `${lack} no reference line; give at least two models that differ on the reference domain.`,
    );
  }
  const slope = xy / xx;
  return { slope, intercept: my - slope * mx };
}

/** β(reference): the accuracy on the shifted domain that a line predicts from the reference. */
export function predicted(reference: number, { slope, intercept }: RobustnessLine): number {
  return expit(slope * logit(reference) + intercept);
}

/**
 * Effective robustness ρ = shifted − β(reference): accuracy on the shifted domain beyond what the
 * line β predicts from the accuracy on the reference domain (Taori et al. 2020, equation 1).
 */
export function effectiveRobustness(
  { reference, shifted }: RobustnessPoint,
  line: RobustnessLine,
): number {
  return shifted - predicted(reference, line);
}
