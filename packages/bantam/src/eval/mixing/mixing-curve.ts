import { UsageError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';
import { interpolateInto, loadModel, requireAlike } from '../../models/index.js';
import type { MeasuredMetric } from '../validator.js';
import { openJudge, type JudgeOptions } from './judge.js';

/** The factors of {@link mixingCurve}: 0, 0.1 … 1. */
export const usualFactors: readonly number[] = Array.from({ length: 11 }, (_, i) => i / 10);

/** Options of {@link mixingCurve}. */
export interface MixingCurveOptions extends JudgeOptions {
  /** Name of the model before fine-tuning. */
  from: string;
  /** Name of the fine-tuned model. */
  to: string;
  /** Specifications of data like those of fine-tuning, held out from it. */
  own: readonly string[];
  /** Specifications of other data, on which the model shall not become worse. Default: none. */
  others?: readonly string[];
  /** Mixing factors α; 0 and 1 are always measured. Default: {@link usualFactors}. */
  factors?: readonly number[];
}

/** Data of a {@link MixingCurve}. */
export interface MixingData {
  readonly spec: string;
  readonly role: 'own' | 'other';
  readonly metric: string;
  readonly samples: number;
  readonly chance: number | null;
}

/** The model of one mixing factor. */
export interface MixingPoint {
  /** Weight of the fine-tuned model. */
  readonly alpha: number;
  /** Its values, in the order of the data. */
  readonly values: readonly Pick<MeasuredMetric, 'value' | 'interval'>[];
  /** Mean over the own data. */
  readonly own: number;
  /** Mean over the other data; null: there are none. */
  readonly others: number | null;
  /** The value by which the factor is chosen; see {@link mixingRule}. */
  readonly score: number;
}

/** Values of the models between two, on own and on other data. */
export interface MixingCurve {
  readonly from: string;
  readonly to: string;
  readonly data: readonly MixingData[];
  /** In ascending order of the factor. */
  readonly points: readonly MixingPoint[];
  /** The factor that {@link mixingRule} chooses. */
  readonly best: number;
  readonly rule: string;
}

/** The rule by which a factor is chosen, in words. */
export function mixingRule({ others = [] }: Pick<MixingCurveOptions, 'others'>): string {
  return others.length > 0
    ? 'the highest mean of own and other data, each side counting half; of equals the one nearest to 0.5'
    : 'the highest value on own data; of equals the one nearest to 0.5';
}

/**
 * WiSE-FT's curve (Wortsman et al. 2022, arXiv 2109.01903, figure 1): measures the models
 * (1 − α)·θ₀ + α·θ₁ on own and on other data, and chooses a factor.
 *
 * @throws UsageError for factors outside of 0 … 1 or data that are missing; BantamError if a model or data
 * cannot be read, or the models are not alike.
 */
export async function mixingCurve(options: MixingCurveOptions): Promise<MixingCurve> {
  const { from, to, own, others = [], onProgress } = options;
  const factors = checkFactors(options.factors ?? usualFactors);
  if (own.length === 0) {
    throw new UsageError(
      'A curve needs own data: some like those of fine-tuning, held out from it.',
    );
  }
  const roles = [...own.map(() => 'own' as const), ...others.map(() => 'other' as const)];
  const judges = [];
  for (const spec of [...own, ...others]) judges.push(await openJudge(spec, options));

  const first = await loadModel(from);
  using before = first.model;
  const second = await loadModel(to);
  using after = second.model;
  requireAlike({ name: from, loaded: first }, { name: to, loaded: second });
  // The mixed weights take the place of a third model's.
  const third = await loadModel(to);
  using mixed = third.model;

  const data: MixingData[] = [];
  const points: MixingPoint[] = [];
  for (const alpha of factors) {
    interpolateInto(mixed, { from: before.stateDict(), to: after.stateDict(), alpha });
    const values: MeasuredMetric[] = [];
    for (const [i, judge] of judges.entries()) {
      onProgress?.(`alpha ${alpha}: ${judge.spec}`);
      const measured = await judge.measure(third);
      values.push(measured);
      const role = roles[i];
      if (data.length === judges.length || role === undefined) continue;
      const { spec, metric } = judge;
      const { samples, chance } = measured;
      data.push({ spec, role, metric, samples, chance });
    }
    points.push(pointOf(alpha, values, own.length));
  }
  return { from, to, data, points, best: bestFactor(points), rule: mixingRule(options) };
}

/** Factors in ascending order, with both ends. */
function checkFactors(factors: readonly number[]): number[] {
  const wrong = factors.find((factor) => !(factor >= 0 && factor <= 1));
  if (wrong === undefined) return [...new Set([0, ...factors, 1])].sort((a, b) => a - b);
  throw new UsageError(
    `The mixing factor ${wrong} is outside of 0 … 1; 0 is the first model, 1 the fine-tuned one.`,
  );
}

function pointOf(alpha: number, values: readonly MeasuredMetric[], ownCount: number): MixingPoint {
  const numbers = values.map(({ value }) => value);
  const own = mean(numbers.slice(0, ownCount));
  const others = values.length > ownCount ? mean(numbers.slice(ownCount)) : null;
  return {
    alpha,
    values: values.map(({ value, interval }) => ({ value, ...(interval && { interval }) })),
    own,
    others,
    score: others === null ? own : (own + others) / 2,
  };
}

/** The factor with the highest score, of equals the one nearest to 0.5. */
export function bestFactor(points: readonly Pick<MixingPoint, 'alpha' | 'score'>[]): number {
  const distance = ({ alpha }: { readonly alpha: number }): number => Math.abs(alpha - 0.5);
  const [best] = points.toSorted((a, b) => b.score - a.score || distance(a) - distance(b));
  if (best === undefined) throw new RangeError('A curve without points has no best factor.');
  return best.alpha;
}
