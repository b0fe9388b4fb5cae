import { deviceMemory, isAccelerator, type Device } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { formatBytes } from '../../base/format-bytes.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainSettings } from '../config/settings.js';
import { microBatchSize } from '../loop/micro-batch.js';
import {
  batchBytes,
  MemoryPlanner,
  type MemoryPlan,
  type MemoryPlanOptions,
  type DryRuns,
} from './plan-memory.js';
import type { TrainingContext } from '../loop/context.js';
import { bytesOf } from './dry-run.js';
import { estimateMemory, modelMemory } from './estimate-memory.js';
import { strategyFacts, type PlanContext } from './dummy-data.js';
import { needsTime, type ResumedRun } from './time-limit.js';

/** Bytes that this process may take in all: `train.memoryLimit`, or all that the machine has. */
export function availableBytes({ memoryLimit }: TrainSettings): number {
  if (memoryLimit > 0) return memoryLimit * 1e9;
  return process.availableMemory() + process.memoryUsage.rss();
}

/** Memory of a GPU that this process may take: its free memory, or `train.memoryLimit` if that is less. */
function availableOnDevice(
  { memoryLimit }: TrainSettings,
  device: Device = 'cpu',
): OnDevice | null {
  if (!isAccelerator(device)) return null;
  const { free, reserved } = deviceMemory(device);
  const bytes = free + reserved;
  return { device, available: memoryLimit > 0 ? Math.min(bytes, memoryLimit * 1e9) : bytes };
}

/**
 * The dry runs of a training of this configuration before it starts, beside those of as many processes
 * of this machine.
 */
export function dryRunsOf(config: TrainConfig, options: PlanContext, processes = 1): DryRuns {
  const available = Math.min(
    availableBytes(config.train),
    availableOnDevice(config.train, options.device)?.available ?? Infinity,
  );
  return {
    memory: 2 * processes * roughBytes(config, options) >= available,
    time: needsTime(config, options),
  };
}

/**
 * Refuses a training that would take more memory than the machine has, or than `train.memoryLimit`
 * allows. One that takes less than half of it by a rough estimate is not measured.
 *
 * @throws BantamError as {@link requireFit} does.
 */
export async function requireMemory(
  context: TrainingContext,
  { settingsIn }: Partial<ResumedRun> = {},
): Promise<void> {
  const { config, world } = context;
  const beside = world?.localSize ?? 1;
  const dryRuns = dryRunsOf(config, context, beside);
  if (!dryRuns.memory) return;
  const fit = {
    available: availableBytes(config.train) / beside,
    parts: world?.size ?? 1,
    onDevice: availableOnDevice(config.train, context.device),
    dryRuns,
    settingsIn,
  };
  const planner = await MemoryPlanner.create(config, context);
  const microBatch = Math.ceil(microBatchSize(config.train) / fit.parts);
  if (lack(planner.plan({ dryRuns, microBatch }), fit) === null) return;
  const train = { ...config.train, gradCheckpointing: true };
  const checkpointed = config.train.gradCheckpointing
    ? null
    : await MemoryPlanner.create({ ...config, train }, context);
  requireFit({ planner, checkpointed }, config.train, fit);
}

/** The plan of a training, and that of the same with `train.gradCheckpointing` if it has none. */
export interface Planners {
  readonly planner: MemoryPlanner;
  readonly checkpointed: MemoryPlanner | null;
}

/** Memory of a GPU that a training may take. */
export interface OnDevice {
  readonly device: Device;
  /** In bytes. */
  readonly available: number;
}

/** Options of {@link requireFit}. */
export interface FitOptions extends Pick<MemoryPlanOptions, 'dryRuns'> {
  /** Bytes of the machine's memory that the training may take. */
  available: number;
  /** Processes that share every micro-batch, each with memory of its own. Default 1. */
  parts?: number;
  /** The GPU that it trains on; null or absent: the CPU. */
  onDevice?: OnDevice | null;
  /** The file that holds the settings of a run that resumes. */
  settingsIn?: string | undefined;
}

/**
 * @throws BantamError that says what is needed, and what would fit: `train.gradCheckpointing`, the
 * largest `train.microBatch`, or if neither does, both.
 */
export function requireFit(planners: Planners, train: TrainSettings, options: FitOptions): void {
  const { dryRuns, parts = 1 } = options;
  const present = Math.ceil(microBatchSize(train) / parts);
  const missing = lack(planners.planner.plan({ dryRuns, microBatch: present }), options);
  if (missing === null) return;
  const { needed, available, where } = missing;
  const there =
    train.memoryLimit > 0
      ? `train.memoryLimit allows ${formatBytes(available)}`
      : `${formatBytes(available)} are available`;
  const each = parts === 1 ? '' : ` in each of ${parts} processes`;
  throw new BantamError(
    `This training would take about ${formatBytes(needed)} of memory${where}${each}, but ${there}; ${remedy(planners, train, options)}.`,
  );
}

/** True if a plan needs more than there is, or than `train.memoryLimit` allows. */
export function lacksMemory(
  plan: MemoryPlan,
  { config: { train }, device }: Pick<TrainingContext, 'config' | 'device'>,
): boolean {
  const onDevice = availableOnDevice(train, device);
  return lack(plan, { available: availableBytes(train), onDevice }) !== null;
}

/** The memory that a plan lacks; null: it fits. */
function lack(
  { total, onDevice: needed }: MemoryPlan,
  { available, onDevice = null }: Pick<FitOptions, 'available' | 'onDevice'>,
): { needed: number; available: number; where: string } | null {
  if (onDevice !== null && needed > onDevice.available) {
    return { needed, available: onDevice.available, where: ` on ${onDevice.device}` };
  }
  return total > available ? { needed: total, available, where: '' } : null;
}

function remedy(
  { planner, checkpointed }: Planners,
  train: TrainSettings,
  options: FitOptions,
): string {
  const { dryRuns, settingsIn, parts = 1 } = options;
  const where = settingsIn === undefined ? '' : ` in ${settingsIn}`;
  const checkpoints = 'train.gradCheckpointing=true';
  const microBatch = largestMicroBatch(planner, train, options);
  const whole = checkpointed?.plan({
    dryRuns,
    microBatch: Math.ceil(microBatchSize(train) / parts),
  });
  const single = [
    ...(whole !== undefined && lack(whole, options) === null ? [checkpoints] : []),
    ...(microBatch === undefined ? [] : [`train.microBatch=${microBatch}`]),
  ];
  if (single.length > 0) {
    return `with ${single.join(' or ')}${where} it would fit, for the same batch and one more forward pass`;
  }
  const both = checkpointed && largestMicroBatch(checkpointed, train, options);
  if (both) {
    return `with ${checkpoints} and train.microBatch=${both}${where} it would fit, for the same batch and two more forward passes`;
  }
  const { batches } = planner.plan({ dryRuns, microBatch: 1 });
  return batches > options.available / 2
    ? `the images of a step's ${train.accumulate * train.batchSize} samples alone are ${formatBytes(batches)}, so lower ${train.accumulate > 1 ? 'train.accumulate' : 'train.batchSize'}${where}`
    : 'not even micro-batches of one sample would fit, so take a smaller model or close other programs';
}

/** The largest `train.microBatch` below the present one that would fit. */
function largestMicroBatch(
  planner: MemoryPlanner,
  train: TrainSettings,
  options: FitOptions,
): number | undefined {
  const { dryRuns, parts = 1 } = options;
  const present = microBatchSize(train);
  const smaller = Array.from({ length: present - 1 }, (_, i) => present - 1 - i);
  return smaller
    .filter((size) => train.batchSize % size === 0 && size >= parts)
    .find((size) => {
      const microBatch = Math.ceil(size / parts);
      return lack(planner.plan({ dryRuns, microBatch }), options) === null;
    });
}

/** {@link estimateMemory} with the strategy's views and own weights, teachers, stored features, and images in use. */
function roughBytes(config: TrainConfig, options: PlanContext): number {
  const { model, train, preprocess } = config;
  const { source, models, longest, device } = options;
  const facts = strategyFacts(config, options);
  const { views, storedBytes, parameters } = facts;
  const teachers = models.reduce((sum, one) => sum + bytesOf(one.model.stateDict().values()), 0);
  const passes = 1 + models.length;
  const memory = modelMemory(model, {
    precision: train.precision,
    device,
    captionTokens: Math.min(longest.tokens, model.text.contextLength),
    imagePasses: passes * Math.max(1, views),
    textPasses: passes,
    otherParameters: parameters,
    hasAverage: train.ema > 0,
  });
  const batches = {
    batchSize: train.batchSize,
    microBatch: microBatchSize(train),
    source,
    imageSize: preprocess.size,
    memoryLimit: train.memoryLimit,
  };
  const others = teachers + storedBytes * source.size + batchBytes(config, facts);
  return estimateMemory(memory, batches) + others;
}
