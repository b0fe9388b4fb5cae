/** The part of the data that a run holds out to see overfitting: when, and how much. */
import { hasOwnCaptions, samplesPerEpoch, type Source } from '../../data/index.js';
import { UsageError } from '../../base/errors.js';
import { modelFlops, type ModelConfig } from '../../models/index.js';
import type { StrategyConfig } from '../strategies/index.js';
import { parseBudget, withoutEpochs } from './budget.js';
import type { ValidationSettings } from './settings.js';

/** `validation.data` of a run that validates on a part of its training data. */
export const heldOutData = 'held-out';
/** `validation.data` of a run that shall not validate. */
const noData = 'none';

/**
 * Passes over the data from which on a model may learn them by heart: about four cost nothing, and
 * eight begin to (Li, Xie and Cubuk 2024, arXiv 2404.08197, section 4; Muennighoff et al. 2023, arXiv
 * 2305.16264).
 */
export const passesWithoutLoss = 4;

/** Smaller data are trained on whole: what could be held out is too little to measure much on. */
const fewestRecords = 1000;

/** Records that are held out: this fraction, but no fewer and no more than so many. */
const usual = { fraction: 0.05, fewest: 100, most: 1000 } as const;

/** Of data below {@link fewestRecords}, if it is asked for. */
const fractionOfFew = 0.1;

/**
 * FLOPs per second by which passes are estimated for a budget of time: what a fast CPU reaches. A
 * measured rate would be nearer, but the same run would then hold out data on one machine and not on another.
 */
const assumedRate = 1e12;

/** True if the settings name data, or ask for a part of the training data. */
export function namesValidation({ data }: Pick<ValidationSettings, 'data'>): boolean {
  return data !== '' && data !== noData;
}

/** A part of the data to hold out. */
export interface HoldOutPlan {
  /** Fraction of the records. */
  readonly fraction: number;
  /** Passes over the data, estimated where the budget is no number of samples. */
  readonly passes: number;
}

/** The parts of a configuration that decide it. */
export interface HoldOutConfig {
  readonly validation: ValidationSettings;
  readonly budget: string;
  readonly model: ModelConfig;
  readonly strategy: StrategyConfig;
}

/**
 * The part to hold out for a configuration; null: none. Without `validation.data` that is so if the
 * run passes over enough records {@link passesWithoutLoss} times or more, unless it depends on all of them,
 * as stored teacher embeddings do.
 *
 * @throws UsageError if it is asked for, but the strategy needs all records.
 */
export function planHoldOut(
  config: HoldOutConfig,
  source: Pick<Source, 'size' | 'grouping' | 'mixture'>,
): HoldOutPlan | null {
  const { data, holdOut } = config.validation;
  const { strategy } = config;
  const isAsked = data === heldOutData;
  if (!isAsked && data !== '') return null;
  if ('reinforced' in strategy && strategy.reinforced !== '') {
    if (!isAsked) return null;
    throw new UsageError(
      'Nothing can be held out of reinforced data, whose stored embeddings belong to all records; validate on other data with --validate SPEC.',
    );
  }
  const budget = withoutEpochs(config.budget, samplesPerEpoch(source));
  const passes = plannedSamples({ ...config, budget }) / source.size;
  const records = source.grouping?.count ?? source.size;
  if (!isAsked && (records < fewestRecords || passes < passesWithoutLoss)) return null;
  return { fraction: holdOut > 0 ? holdOut : usualFraction(records), passes };
}

function usualFraction(records: number): number {
  if (records < fewestRecords) return fractionOfFew;
  const { fraction, fewest, most } = usual;
  const wanted = Math.min(most, Math.max(fewest, fraction * records));
  return Number((wanted / records).toPrecision(4));
}

/** Samples that a run will see, by its budget. */
function plannedSamples({ budget, model }: Pick<HoldOutConfig, 'budget' | 'model'>): number {
  const { unit, amount } = parseBudget(budget);
  if (unit === 'samples') return amount;
  const { image, text, decoder = 0 } = modelFlops(model);
  // A step takes about three forward passes.
  const perSample = 3 * (image + text + decoder);
  return (unit === 'flops' ? amount : assumedRate * amount) / perSample;
}

/**
 * The metric on data that are held out of a source: accuracy where captions are the names of classes, which many
 * images share; else the metric of the settings.
 */
export function heldOutMetric(
  { metric }: Pick<ValidationSettings, 'metric'>,
  source: Pick<Source, 'size' | 'record' | 'labelSets'>,
): string {
  const hasClasses = Object.keys(source.labelSets).length > 0;
  const isUsual = metric === 'image_retrieval_recall@1';
  return isUsual && hasClasses && !hasOwnCaptions(source) ? 'acc1' : metric;
}
