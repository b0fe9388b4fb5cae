import { at } from '../../base/at.js';
import {
  averageRecord,
  loadModel,
  requireAlike,
  requireSeveral,
  saveAverage,
  WeightSum,
  type AverageResult,
  type LoadedModel,
} from '../../models/index.js';
import type { Measurement } from '../validator.js';
import { openJudge, type Judge, type JudgeOptions } from './judge.js';

/** Options of {@link greedySoup}. */
export interface GreedySoupOptions extends JudgeOptions {
  /** Names of the models; see `loadModel`. */
  models: readonly string[];
  /** Specification of data held out from fine-tuning. */
  data: string;
  /** The model directory to write. */
  out: string;
}

/** A model that a greedy soup tried. */
export interface SoupStep {
  readonly model: string;
  /** Its value alone. */
  readonly alone: number;
  /** Value of the soup with it. */
  readonly soup: number;
  /** True if the soup took it. */
  readonly taken: boolean;
}

/** Result of {@link greedySoup}. */
export interface GreedySoupResult extends AverageResult {
  readonly metric: string;
  /** Images that the models were chosen on. */
  readonly samples: number;
  /** In the order of trial: descending value of the model alone. */
  readonly steps: readonly SoupStep[];
  /** Value of the soup, and its sampling error. */
  readonly soup: Measurement;
}

/**
 * Greedy model soup (Wortsman et al. 2022, arXiv 2203.05482, recipe 1): the models are tried in the order
 * of their values on held-out data, and each is taken if the mean of the weights is no worse with it. Models
 * are read one at a time.
 *
 * @throws UsageError or BantamError if there are fewer than two models, one or the data cannot be
 * read, or the models are not alike.
 */
export async function greedySoup(options: GreedySoupOptions): Promise<GreedySoupResult> {
  const { models, data, out, onProgress } = options;
  requireSeveral(models);
  const judge = await openJudge(data, options);
  const ranked = await rankModels(models, judge, onProgress);

  const { model: name, alone: best } = at(ranked, 0);
  const loaded = await loadModel(name);
  using soup = loaded.model;
  using sum = new WeightSum();
  sum.add({ state: soup.stateDict(), weight: 1 });
  const steps: SoupStep[] = [{ model: name, alone: best.value, soup: best.value, taken: true }];
  let measured = best;
  for (const { model: other, alone } of ranked.slice(1)) {
    onProgress?.(`the soup with ${other}`);
    const candidate = await loadModel(other);
    using ingredient = candidate.model;
    const weighted = { state: ingredient.stateDict(), weight: 1 };
    sum.copyTo(soup, weighted);
    const together = await judge.measure(loaded);
    const taken = together.value >= measured.value;
    steps.push({ model: other, alone: alone.value, soup: together.value, taken });
    if (!taken) continue;
    sum.add(weighted);
    measured = together;
  }
  sum.copyTo(soup);

  const average = await averageRecord('greedy soup', equalParts(steps));
  const leftOut = steps.filter(({ taken }) => !taken).map(({ model }) => model);
  const { metric } = judge;
  const rule = `each taken if ${metric} is no worse with it`;
  const chosenBy = { data: [data], rule, value: measured.value, leftOut };
  const saved = await saveAverage(out, loaded, { ...average, chosenBy });
  return { ...saved, metric, samples: measured.samples, steps, soup: measured };
}

/** The models with their values, the best first; equal ones in the given order. */
async function rankModels(
  models: readonly string[],
  judge: Judge,
  onProgress: JudgeOptions['onProgress'],
): Promise<{ model: string; alone: Measurement }[]> {
  const ranked: { model: string; alone: Measurement }[] = [];
  let first: { name: string; loaded: LoadedModel } | undefined;
  try {
    for (const model of models) {
      onProgress?.(`${model} alone`);
      const loaded = await loadModel(model);
      if (first === undefined) first = { name: model, loaded };
      else requireAlike(first, { name: model, loaded });
      try {
        ranked.push({ model, alone: await judge.measure(loaded) });
      } finally {
        if (first.loaded !== loaded) loaded.model.dispose();
      }
    }
  } finally {
    first?.loaded.model.dispose();
  }
  return ranked.sort((a, b) => b.alone.value - a.alone.value);
}

function equalParts(steps: readonly SoupStep[]): { model: string; weight: number }[] {
  const taken = steps.filter((step) => step.taken);
  return taken.map(({ model }) => ({ model, weight: 1 / taken.length }));
}
