import { emptyCache, memoryStats } from '@bantam/torch';
import { pixelCacheBytes, type Source } from '../data/index.js';
import { BantamError } from '../errors.js';
import { activationBytes, parameterCount, type LoadedModel } from '../models/index.js';
import type { TrainConfig, TrainSettings } from './config.js';
import { footprintAt, type SizedTrace } from './extrapolate-trace.js';
import type { Phase } from './phases.js';
import { loadSize } from './pieces.js';
import { addsUp, bytesOf, rehearse, type KeptBytes } from './rehearsal.js';
import type { ReinforcedSet } from './reinforced/reinforced-set.js';
import { createStrategy } from './strategies/index.js';

/** What a training is predicted to take when it takes most, in bytes. */
export interface MemoryPlan extends KeptBytes {
  /** Activations, features, similarities, and what operators need in between. */
  readonly step: number;
  /** Pictures of the batches at hand and of those that are prepared. */
  readonly batches: number;
  /** Decoded pictures that are kept for later epochs, at most. */
  readonly pictures: number;
  /** Node.js, libtorch, the threads that prepare data, and models that the strategy works with. */
  readonly process: number;
  readonly total: number;
}

/** Options of {@link MemoryPlanner.create} and {@link requireMemory}. */
export interface PlanOptions {
  source: Source;
  /** The models that the strategy works with. */
  models: readonly LoadedModel[];
  /** What the strategy reads in place of them. */
  reinforced?: ReinforcedSet | null | undefined;
  /** Tokens of the longest caption. */
  captionTokens: number;
  /** Hears what is being done, in words. */
  onProgress?: ((message: string) => void) | undefined;
}

/** Samples of the steps that are rehearsed: few, and three sizes to tell squares. */
const SIZES = [2, 4, 6] as const;

/** For what large batches are computed otherwise than small ones. */
const MARGIN = 1.03;

/** A thread that decodes pictures, with what the decoder keeps. */
const WORKER_BYTES = 40e6;

interface RehearsedPhase {
  readonly phase: Phase;
  readonly steps: readonly SizedTrace[];
  readonly losses: readonly SizedTrace[];
  readonly featureBytes: number;
}

interface PlannerParts {
  readonly config: TrainConfig;
  readonly source: Source;
  readonly views: number;
  readonly kept: KeptBytes;
  readonly phases: readonly RehearsedPhase[];
  readonly process: number;
}

/**
 * Predicts the memory of a training by rehearsing it: two real steps on noise for batches of 2, 4 and
 * 6 samples, in every phase. What their tensors take is recorded and continued to the batch at hand;
 * see {@link footprintAt}.
 */
export class MemoryPlanner {
  readonly #parts: PlannerParts;

  private constructor(parts: PlannerParts) {
    this.#parts = parts;
  }

  /** Null for strategies that work with more of the data than pictures and captions. */
  static async create(config: TrainConfig, options: PlanOptions): Promise<MemoryPlanner | null> {
    const { source, models, reinforced = null, captionTokens } = options;
    const { phases, prepared, views } = describeStrategy(config, options);
    if (prepared) return null;
    const before = bytesBesideTensors();
    const rehearsed: RehearsedPhase[] = [];
    let kept: KeptBytes = { parameters: 0, gradients: 0, optimizer: 0, average: 0 };
    for (const phase of phases) {
      const steps: SizedTrace[] = [];
      const losses: SizedTrace[] = [];
      let featureBytes = 0;
      for (const size of SIZES) {
        const samples = source.size;
        options.onProgress?.(`planning memory on batches of ${size}`);
        const found = await rehearse(config, {
          phase,
          size,
          captionTokens,
          samples,
          models,
          reinforced,
        });
        ({ kept, featureBytes } = found);
        steps.push({ size, trace: found.steps });
        losses.push({ size, trace: found.losses });
      }
      rehearsed.push({ phase, steps, losses, featureBytes });
    }
    const after = bytesBesideTensors();
    // What kernels keep for the shapes that they met comes once more for the real batch.
    const kernels = Math.max(0, after - before) / SIZES.length;
    const others = models.reduce((sum, { model }) => sum + bytesOf(model.stateDict().values()), 0);
    const threads = config.train.workers * WORKER_BYTES;
    const process = after + kernels + others + threads;
    return new MemoryPlanner({ config, source, views, kept, phases: rehearsed, process });
  }

  /** The prediction, with other sizes of batches than the configuration's where they are given. */
  plan(changes: Partial<Pick<TrainSettings, 'batchSize' | 'microBatch'>> = {}): MemoryPlan {
    const { config, kept, phases, process } = this.#parts;
    const train = { ...config.train, ...changes };
    const piece = loadSize(train);
    const inPieces = piece < train.batchSize;
    // Gradients of earlier pieces are there while the later ones are computed, at most all beside.
    const earlier = addsUp(train) && !addsUp(config.train) ? kept.gradients : 0;
    const taken = phases.map(({ steps, losses, featureBytes }) => {
      const own = footprintAt(steps, piece) + earlier;
      if (!inPieces) return own;
      // Features of all pieces, and their gradients.
      return own + footprintAt(losses, train.batchSize) + 2 * featureBytes * train.batchSize;
    });
    const engine = MARGIN * Math.max(...taken);
    const { batches, pictures } = this.#data(train);
    const step = engine - kept.parameters - kept.gradients - kept.optimizer - kept.average;
    const total = engine + batches + pictures + process;
    return { ...kept, step: Math.max(0, step), batches, pictures, process, total };
  }

  #data(train: TrainSettings): Pick<MemoryPlan, 'batches' | 'pictures'> {
    const { config, phases, source, views } = this.#parts;
    const { size } = config.preprocess;
    const edge = Math.max(...phases.map(({ phase }) => phase.imageSize ?? size));
    const ahead = Math.max(1, 2 * train.workers) + 1;
    const samples = train.accumulate * train.batchSize + ahead * loadSize(train);
    return {
      batches: views * samples * 3 * edge ** 2,
      pictures: views === 0 ? 0 : pixelCacheBytes(source, size),
    };
  }
}

function describeStrategy(
  config: TrainConfig,
  { source, models, reinforced = null }: PlanOptions,
): { phases: readonly Phase[]; prepared: boolean; views: number } {
  const strategy = createStrategy(config, { samples: source.size, models, reinforced });
  const views = Object.keys(strategy.views(config.augment)).length;
  strategy.module?.dispose();
  strategy[Symbol.dispose]?.();
  const prepared = strategy.prepare !== undefined || strategy.replay !== undefined;
  return { phases: strategy.phases, prepared, views };
}

/** What this process has beside its tensors. */
function bytesBesideTensors(): number {
  emptyCache();
  return process.memoryUsage.rss() - memoryStats().liveBytes;
}

/** Bytes that this process may have in all: what is free, and what it has already. */
function availableBytes(): number {
  return process.availableMemory() + process.memoryUsage.rss();
}

/**
 * Refuses a training that would take more memory than there is, or than `train.memoryLimit` allows.
 * One that takes less than half of it by a rough estimate is not rehearsed.
 *
 * @throws BantamError as {@link requireFit} does.
 */
export async function requireMemory(config: TrainConfig, options: PlanOptions): Promise<void> {
  const { memoryLimit } = config.train;
  const available = memoryLimit > 0 ? memoryLimit * 1e9 : availableBytes();
  if (2 * roughBytes(config, options) < available) return;
  const planner = await MemoryPlanner.create(config, options);
  if (planner === null || planner.plan().total <= available) return;
  const train = { ...config.train, gradCheckpointing: true };
  const checkpointed = config.train.gradCheckpointing
    ? null
    : await MemoryPlanner.create({ ...config, train }, options);
  requireFit({ planner, checkpointed }, config.train, available);
}

/** The plan of a training, and that of the same with `train.gradCheckpointing` where it has none. */
export interface Planners {
  readonly planner: MemoryPlanner;
  readonly checkpointed: MemoryPlanner | null;
}

/**
 * @throws BantamError that says what is needed, and what would fit: `train.gradCheckpointing`, the
 * largest `train.microBatch`, or where neither does, both.
 */
export function requireFit(planners: Planners, train: TrainSettings, available: number): void {
  const { total } = planners.planner.plan();
  if (total <= available) return;
  const there =
    train.memoryLimit > 0
      ? `train.memoryLimit allows ${gigabytes(available)}`
      : `${gigabytes(available)} are available`;
  throw new BantamError(
    `This training would take about ${gigabytes(total)} of memory, but ${there}; ${remedy(planners, train, available)}.`,
  );
}

function remedy(
  { planner, checkpointed }: Planners,
  train: TrainSettings,
  available: number,
): string {
  const checkpoints = 'train.gradCheckpointing=true';
  const pieces = largestPieces(planner, train, available);
  const single = [
    ...((checkpointed?.plan().total ?? Infinity) <= available ? [checkpoints] : []),
    ...(pieces === undefined ? [] : [`train.microBatch=${pieces}`]),
  ];
  if (single.length > 0) {
    return `with ${single.join(' or ')} it would fit, for the same batch and one more forward pass`;
  }
  const both = checkpointed && largestPieces(checkpointed, train, available);
  return both
    ? `with ${checkpoints} and train.microBatch=${both} it would fit, for the same batch and two more forward passes`
    : 'not even pieces of one sample would fit, so take a smaller model or close other programs';
}

/** The largest `train.microBatch` below the present one that would fit. */
function largestPieces(
  planner: MemoryPlanner,
  train: TrainSettings,
  available: number,
): number | undefined {
  const piece = loadSize(train);
  const smaller = Array.from({ length: piece - 1 }, (_, i) => piece - 1 - i);
  return smaller
    .filter((size) => train.batchSize % size === 0)
    .find((microBatch) => planner.plan({ microBatch }).total <= available);
}

/** Weights with their gradients and states, activations of every view in float32, and data. */
function roughBytes(config: TrainConfig, options: PlanOptions): number {
  const { model, train, preprocess } = config;
  const { source, models, captionTokens } = options;
  const { image, text } = activationBytes(model, {
    captionTokens: Math.min(captionTokens, model.text.contextLength),
  });
  const views = Math.max(1, describeStrategy(config, options).views);
  const others = models.reduce((sum, one) => sum + bytesOf(one.model.stateDict().values()), 0);
  const perSample = (1 + models.length) * (views * image + text);
  const weights = 5 * 4 * parameterCount(model).total;
  const similarities = 16 * train.batchSize ** 2;
  const data = pixelCacheBytes(source, preprocess.size);
  return 0.5e9 + others + weights + loadSize(train) * perSample + similarities + data;
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
