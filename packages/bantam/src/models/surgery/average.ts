/** Weighted means of models' weights: WiSE-FT and model soups. */
import {
  add,
  add_,
  clone,
  copy_,
  detach,
  div,
  isFloating,
  keep,
  mul,
  noGrad,
  scope,
  to,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError, UsageError } from '../../base/errors.js';
import type { Clip } from '../clip.js';
import type { ModelConfig } from '../config.js';
import { loadModel, saveModel, tokenizerOf, type LoadedModel } from '../io/directory.js';
import { weightsDigest } from '../io/weights-digest.js';
import { requireAlike } from './alike.js';

/** The tensors of a model by name. */
type State = ReadonlyMap<string, Tensor>;

/** Weights with their weight in a mean. */
export interface WeightedState {
  readonly state: State;
  /** At least 0. */
  readonly weight: number;
}

/**
 * Running sum Σ wᵢ·θᵢ of models' weights in float64, for means that are rounded once, to the model's
 * own type. What has the weight 0 is left out, so the mean of one model is that model bit for bit.
 *
 * Every floating-point tensor is averaged, the logarithm of the logit scale and the running means and
 * variances of batch norms among them; counters of batch norms are those of the heaviest model.
 */
export class WeightSum implements Disposable {
  readonly #sums = new Map<string, Tensor>();
  #total = 0;
  #heaviest = 0;

  /** Adds the weights of a model. */
  add({ state, weight }: WeightedState): void {
    if (weight === 0) return;
    const isHeaviest = weight >= this.#heaviest;
    inScope(() => {
      for (const [name, value] of state) {
        const sum = this.#sums.get(name);
        if (!isFloating(value.dtype)) {
          if (!isHeaviest && sum !== undefined) continue;
          sum?.dispose();
          this.#sums.set(name, keep(clone(detach(value))));
        } else if (sum === undefined) this.#sums.set(name, keep(scaled(value, weight)));
        else add_(sum, scaled(value, weight));
      }
    });
    this.#total += weight;
    this.#heaviest = Math.max(this.#heaviest, weight);
  }

  /**
   * Copies the mean Σ wᵢ·θᵢ / Σ wᵢ into a model of the same tensors.
   *
   * @param candidate - Weights that take part this time without being added
   */
  copyTo(model: Clip, candidate?: WeightedState): void {
    const total = this.#total + (candidate?.weight ?? 0);
    inScope(() => {
      for (const [name, target] of model.stateDict()) {
        const sum = this.#sums.get(name);
        if (sum === undefined) throw new RangeError(`The sum has no '${name}'.`);
        const value = candidate?.state.get(name);
        if (!isFloating(target.dtype)) copy_(target, sum);
        else if (candidate === undefined || value === undefined) copy_(target, div(sum, total));
        else copy_(target, div(add(sum, scaled(value, candidate.weight)), total));
      }
    });
  }

  [Symbol.dispose](): void {
    for (const sum of this.#sums.values()) sum.dispose();
    this.#sums.clear();
  }
}

function inScope(body: () => void): void {
  noGrad(() => {
    scope(body);
  });
}

function scaled(value: Tensor, weight: number): Tensor {
  return mul(to(detach(value), { dtype: 'float64' }), weight);
}

/**
 * Sets a model's weights to θ = (1 − α)·θ₀ + α·θ₁ (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903,
 * equation 1), computed in float64. α = 0 gives θ₀ and α = 1 gives θ₁ bit for bit.
 *
 * @throws UsageError unless α is from 0 to 1.
 */
export function interpolateInto(
  model: Clip,
  { from, to: end, alpha }: { readonly from: State; readonly to: State; readonly alpha: number },
): void {
  if (!(alpha >= 0 && alpha <= 1)) {
    throw new UsageError(
      `The mixing factor alpha is ${alpha}; it must be from 0, the first model, to 1, the second.`,
    );
  }
  using sum = new WeightSum();
  sum.add({ state: from, weight: 1 - alpha });
  sum.add({ state: end, weight: alpha });
  sum.copyTo(model);
}

/** A model that is a part of an average. */
export interface AveragedModel {
  /** Its name, as it was given. */
  readonly model: string;
  /** Fraction of the average, 0 … 1. */
  readonly weight: number;
  /** {@link weightsDigest} of its files. */
  readonly weights: string;
}

/** Origin of averaged weights, `average` in a model's `bantam.json`. */
export interface AverageRecord {
  readonly method: 'wise-ft' | 'uniform soup' | 'greedy soup';
  readonly models: readonly AveragedModel[];
  /** Measurement by which the models or their weights were chosen; absent if they were given. */
  readonly chosenBy?: {
    /** Specifications of the data. */
    readonly data: readonly string[];
    /** The rule in words. */
    readonly rule: string;
    readonly value: number;
    /** Models that were tried and left out. */
    readonly leftOut?: readonly string[];
  };
}

/** Options of {@link interpolateModels}. */
export interface InterpolateOptions {
  /** Name of the model before fine-tuning, θ₀; see `loadModel`. */
  from: string;
  /** Name of the fine-tuned model, θ₁. */
  to: string;
  /** Weight of the fine-tuned model, α, from 0 to 1. Default 0.5, the paper's for data unknown. */
  alpha?: number;
  /** The model directory to write. */
  out: string;
  /** Measurement by which the factor was chosen, for the record. */
  chosenBy?: AverageRecord['chosenBy'];
}

/** Result of {@link interpolateModels} and {@link averageModels}. */
export interface AverageResult {
  /** The model directory. */
  readonly out: string;
  readonly config: ModelConfig;
  readonly average: AverageRecord;
}

/**
 * WiSE-FT: writes the model whose weights lie between a model before fine-tuning and after it, see
 * {@link interpolateInto}.
 *
 * @throws UsageError for a factor outside of 0 … 1; BantamError if a model cannot be read or written,
 * or the two are not alike: {@link requireAlike}.
 */
export async function interpolateModels(options: InterpolateOptions): Promise<AverageResult> {
  const { from, to: end, alpha = 0.5, out, chosenBy } = options;
  const first = await loadModel(from);
  using model = first.model;
  const second = await loadModel(end);
  using tuned = second.model;
  requireAlike({ name: from, loaded: first }, { name: end, loaded: second });
  interpolateInto(model, { from: model.stateDict(), to: tuned.stateDict(), alpha });
  const weights = [
    { model: from, weight: 1 - alpha },
    { model: end, weight: alpha },
  ];
  const average = await averageRecord('wise-ft', weights);
  return await saveAverage(out, first, { ...average, ...(chosenBy && { chosenBy }) });
}

/** Options of {@link averageModels}. */
export interface AverageOptions {
  /** Names of the models; see `loadModel`. */
  models: readonly string[];
  /** The model directory to write. */
  out: string;
}

/**
 * Uniform model soup (Wortsman et al. 2022, arXiv 2203.05482): writes the model whose weights are the
 * mean of those of several models that were fine-tuned from the same one. They are read one after the other.
 *
 * @throws BantamError if there are fewer than two, one cannot be read, or they are not alike.
 */
export async function averageModels({ models, out }: AverageOptions): Promise<AverageResult> {
  requireSeveral(models);
  const name = at(models, 0);
  const first = await loadModel(name);
  using model = first.model;
  using sum = new WeightSum();
  sum.add({ state: model.stateDict(), weight: 1 });
  for (const other of models.slice(1)) {
    const loaded = await loadModel(other);
    using next = loaded.model;
    requireAlike({ name, loaded: first }, { name: other, loaded });
    sum.add({ state: next.stateDict(), weight: 1 });
  }
  sum.copyTo(model);
  const weight = 1 / models.length;
  const parts = models.map((one) => ({ model: one, weight }));
  return await saveAverage(out, first, await averageRecord('uniform soup', parts));
}

/** @throws UsageError for less than two models. */
export function requireSeveral(models: readonly string[]): void {
  if (models.length >= 2) return;
  throw new UsageError(
    'A soup is the mean of several models; name two or more that were fine-tuned from the same one.',
  );
}

/** The record of an average, with the digests of the models' files; models of weight 0 are left out. */
export async function averageRecord(
  method: AverageRecord['method'],
  parts: readonly Omit<AveragedModel, 'weights'>[],
): Promise<AverageRecord> {
  const models: AveragedModel[] = [];
  for (const part of parts) {
    if (part.weight > 0) models.push({ ...part, weights: await weightsDigest(part.model) });
  }
  return { method, models };
}

/** Writes a model whose weights are an average, with its origin in `bantam.json`. */
export async function saveAverage(
  out: string,
  loaded: LoadedModel,
  average: AverageRecord,
): Promise<AverageResult> {
  const { config, model, preprocess } = loaded;
  const tokenizer = tokenizerOf(loaded);
  const found = tokenizer instanceof BantamError ? {} : { tokenizer };
  await saveModel(out, { config, model, preprocess, ...found, info: { average } });
  return { out, config, average };
}
