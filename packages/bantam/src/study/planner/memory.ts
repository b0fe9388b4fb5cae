/** Memory of candidates: estimated before any is tried, and compared with what there is. */
import { BantamError } from '../../base/errors.js';
import { formatBytes } from '../../base/format-bytes.js';
import { pixelCacheLimit, type Source } from '../../data/index.js';
import { estimateMemory, modelMemory, type ModelMemory } from '../../train/index.js';
import type { Candidate, LeftOut } from './candidates.js';

/** Options of {@link estimateCandidates}. */
export interface EstimateOptions {
  /** Data of the training. */
  readonly source: Pick<Source, 'size' | 'location'>;
  /** Memory that training may take in GB; 0: all. */
  readonly memory: number;
}

/**
 * Estimated peak memory of training each candidate, in bytes: {@link estimateMemory}. Strategies that leave patches
 * out end with a phase that has all of them.
 */
export function estimateCandidates(
  candidates: readonly Pick<Candidate, 'model' | 'config' | 'batch'>[],
  { source, memory: memoryLimit }: EstimateOptions,
): number[] {
  const costs = new Map<string, ModelMemory>();
  return candidates.map(({ model, config, batch: batchSize }) => {
    const own = costs.get(model) ?? modelMemory(config, { precision: 'auto' });
    costs.set(model, own);
    const { imageSize } = config.vision;
    return estimateMemory(own, { batchSize, source, imageSize, memoryLimit });
  });
}

/** Bytes that training may take: so many GB, or if that is 0 what the machine has. */
export function availableMemory(memory: number): number {
  return memory > 0 ? memory * 1e9 : process.availableMemory();
}

/**
 * The refusal of a plan without a candidate that fits.
 *
 * @param needed - Bytes of the smallest candidate
 */
export function lackOfMemory(needed: number, memory: number): BantamError {
  const enough = memory > 0 ? sufficientLimit(needed, memory) : needed;
  const smallest = formatBytes(1e8 * Math.ceil(enough / 1e8));
  const there = formatBytes(availableMemory(memory));
  return new BantamError(
    memory > 0
      ? `No candidate fits a memory of ${there}: the smallest needs about ${smallest}; plan with --memory ${smallest.replace(' ', '')} or more.`
      : `No candidate fits the memory: the smallest needs about ${smallest}, and ${there} are available; close other programs.`,
  );
}

/** The limit in bytes that allows so many bytes under a lower one: decoded images take a part of each limit. */
function sufficientLimit(needed: number, memory: number): number {
  const withoutImages = needed - pixelCacheLimit(memory);
  let limit = needed;
  // Each time an eighth of the time before is added at most, so that ten are exact to a byte of a gigabyte.
  for (let i = 0; i < 10; i++) limit = withoutImages + pixelCacheLimit(limit / 1e9);
  return limit;
}

/**
 * Candidates that do not fit the memory, model by model: from the smallest batch on that is too large.
 *
 * @param bytes - Of each candidate that does not fit, by its index
 */
export function tooLarge(
  candidates: readonly Pick<Candidate, 'model' | 'batch'>[],
  bytes: ReadonlyMap<number, number>,
  memory: number,
): LeftOut[] {
  const there = formatBytes(availableMemory(memory));
  return [...new Set(candidates.map(({ model }) => model))].flatMap((model) => {
    const own = [...candidates.entries()].filter(([, one]) => one.model === model);
    const large = own.filter(([i]) => bytes.has(i));
    if (large.length === 0) return [];
    const batch = Math.min(...large.map(([, one]) => one.batch));
    const smallest = Math.min(...large.map(([i]) => bytes.get(i) ?? Infinity));
    const name = large.length === own.length ? model : `${model} with batches of ${batch} or more`;
    return [{ name, reason: `it would take at least ${formatBytes(smallest)} of memory, and ${there} are allowed` }]; // prettier-ignore
  });
}
