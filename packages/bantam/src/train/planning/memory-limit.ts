import { pixelCacheBytes } from '../../data/index.js';
import { BantamError } from '../../base/errors.js';
import { activationBytes, parameterCount } from '../../models/index.js';
import type { TrainConfig, TrainSettings } from '../config/config.js';
import { loadSize } from '../loop/micro-batch.js';
import { MemoryPlanner, type MemoryPlanOptions, type Rehearses } from './plan-memory.js';
import { bytesOf } from './dry-run.js';
import { strategyFacts, type PlanOptions } from './dummy-data.js';
import { needsTime } from './time-limit.js';

/** Bytes that this process may have in all, by `train.memoryLimit`, or as many as there are. */
export function availableBytes({ memoryLimit }: TrainSettings): number {
  if (memoryLimit > 0) return memoryLimit * 1e9;
  return process.availableMemory() + process.memoryUsage.rss();
}

/** What a training of this configuration rehearses before it begins. */
export function rehearsesOf(config: TrainConfig, options: PlanOptions): Rehearses {
  return {
    memory: 2 * roughBytes(config, options) >= availableBytes(config.train),
    time: needsTime(config, options),
  };
}

/**
 * Refuses a training that would take more memory than there is, or than `train.memoryLimit` allows.
 * One that takes less than half of it by a rough estimate is not rehearsed.
 *
 * @throws BantamError as {@link requireFit} does.
 */
export async function requireMemory(
  config: TrainConfig,
  options: PlanOptions,
  { settingsIn }: { settingsIn?: string | undefined } = {},
): Promise<void> {
  const rehearses = rehearsesOf(config, options);
  if (!rehearses.memory) return;
  const fit = { available: availableBytes(config.train), rehearses, settingsIn };
  const planner = await MemoryPlanner.create(config, options);
  if (planner.plan({ rehearses }).total <= fit.available) return;
  const train = { ...config.train, gradCheckpointing: true };
  const checkpointed = config.train.gradCheckpointing
    ? null
    : await MemoryPlanner.create({ ...config, train }, options);
  requireFit({ planner, checkpointed }, config.train, fit);
}

/** The plan of a training, and that of the same with `train.gradCheckpointing` where it has none. */
export interface Planners {
  readonly planner: MemoryPlanner;
  readonly checkpointed: MemoryPlanner | null;
}

/** Options of {@link requireFit}. */
export interface FitOptions extends Pick<MemoryPlanOptions, 'rehearses'> {
  /** Bytes that the training may take. */
  available: number;
  /** The file that holds the settings of a run that goes on. */
  settingsIn?: string | undefined;
}

/**
 * @throws BantamError that says what is needed, and what would fit: `train.gradCheckpointing`, the
 * largest `train.microBatch`, or where neither does, both.
 */
export function requireFit(planners: Planners, train: TrainSettings, options: FitOptions): void {
  const { available, rehearses } = options;
  const { total } = planners.planner.plan({ rehearses });
  if (total <= available) return;
  const there =
    train.memoryLimit > 0
      ? `train.memoryLimit allows ${gigabytes(available)}`
      : `${gigabytes(available)} are available`;
  throw new BantamError(
    `This training would take about ${gigabytes(total)} of memory, but ${there}; ${remedy(planners, train, options)}.`,
  );
}

function remedy(
  { planner, checkpointed }: Planners,
  train: TrainSettings,
  options: FitOptions,
): string {
  const { available, rehearses, settingsIn } = options;
  const where = settingsIn === undefined ? '' : ` in ${settingsIn}`;
  const checkpoints = 'train.gradCheckpointing=true';
  const pieces = largestPieces(planner, train, options);
  const whole = checkpointed?.plan({ rehearses }).total ?? Infinity;
  const single = [
    ...(whole <= available ? [checkpoints] : []),
    ...(pieces === undefined ? [] : [`train.microBatch=${pieces}`]),
  ];
  if (single.length > 0) {
    return `with ${single.join(' or ')}${where} it would fit, for the same batch and one more forward pass`;
  }
  const both = checkpointed && largestPieces(checkpointed, train, options);
  return both
    ? `with ${checkpoints} and train.microBatch=${both}${where} it would fit, for the same batch and two more forward passes`
    : 'not even pieces of one sample would fit, so take a smaller model or close other programs';
}

/** The largest `train.microBatch` below the present one that would fit. */
function largestPieces(
  planner: MemoryPlanner,
  train: TrainSettings,
  { available, rehearses }: FitOptions,
): number | undefined {
  const piece = loadSize(train);
  const smaller = Array.from({ length: piece - 1 }, (_, i) => piece - 1 - i);
  return smaller
    .filter((size) => train.batchSize % size === 0)
    .find((microBatch) => planner.plan({ rehearses, microBatch }).total <= available);
}

/** Weights with their gradients and states, activations of every view in float32, and data. */
function roughBytes(config: TrainConfig, options: PlanOptions): number {
  const { model, train, preprocess } = config;
  const { source, models, longest } = options;
  const { image, text } = activationBytes(model, {
    captionTokens: Math.min(longest.tokens, model.text.contextLength),
  });
  const { views, storedBytes } = strategyFacts(config, options);
  const others = models.reduce((sum, one) => sum + bytesOf(one.model.stateDict().values()), 0);
  const perSample = (1 + models.length) * (Math.max(1, views) * image + text);
  const weights = 5 * 4 * parameterCount(model).total;
  const similarities = 16 * train.batchSize ** 2;
  const data = pixelCacheBytes(source, preprocess.size) + storedBytes * source.size;
  return 0.5e9 + others + weights + loadSize(train) * perSample + similarities + data;
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
