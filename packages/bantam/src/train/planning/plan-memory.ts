import { deviceMemory, emptyCache, isAccelerator, memoryStats, type Device } from '@bantam/torch';
import { at } from '../../base/at.js';
import { pixelCacheBytes, pixelCacheLimit, type Source } from '../../data/index.js';
import { activationBytes, parameterCount } from '../../models/index.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainSettings } from '../config/settings.js';
import type { Phase } from '../strategies/phases.js';
import { preparedAtOnce, microBatchSize } from '../loop/micro-batch.js';
import { footprintOf, sameBlocks, type SizedTrace, type Work } from './extrapolate-trace.js';
import { addsUp, bytesOf, dryRun, type KeptBytes, type DryRun } from './dry-run.js';
import { strategyFacts, type PlanContext, type StrategyFacts } from './dummy-data.js';

/** Predicted peak memory of a training, in bytes. */
export interface MemoryPlan extends KeptBytes {
  /** Activations, features, similarities, and workspace of operators. */
  readonly step: number;
  /** Features of all images, if they are computed before the first step and kept. */
  readonly stored: number;
  /** Images of the batches in use and of those that are prepared. */
  readonly batches: number;
  /** Decoded images that are kept for later epochs, at most. */
  readonly images: number;
  /** Node.js, libtorch, the data threads, and on the CPU the strategy's teachers. */
  readonly process: number;
  /** All memory of a GPU: tensors and teachers; 0 on the CPU. */
  readonly onDevice: number;
  /** All memory of the machine, that of a GPU apart. */
  readonly total: number;
}

/** Options of {@link MemoryPlanner.plan}: settings in place of the configuration's. */
export interface MemoryPlanOptions extends Partial<
  Pick<TrainSettings, 'batchSize' | 'microBatch'>
> {
  /** Dry runs in the training's own process. Default: those of memory. */
  dryRuns?: DryRuns | undefined;
}

/**
 * Which dry runs a training's own process makes before it starts: memory that kernels keep for the shapes
 * of those batches stays.
 */
export interface DryRuns {
  readonly memory: boolean;
  readonly time: boolean;
}

/**
 * Samples of the steps that are dry-run: few, and three sizes to recognise squares. The first ones are
 * dropped if so few rows are computed by other kernels than more.
 */
const SIZES = [2, 4, 6, 8, 10] as const;

/** Activations of the smallest dry run on a device, over the gradients of all weights; in 16 bits half. */
const ACTIVATIONS = 4;

/** Fraction of a device's free memory that dry runs may take. */
const DRY_RUN_ROOM = 0.8;

/** Fraction of the activations that gradient checkpointing keeps, about. */
const KEPT_BY_CHECKPOINTING = 1 / 8;

/** Allowance for large batches that other kernels compute than small ones. */
const MARGIN = 1.03;

/** Memory of the rest of a run: its code, messages, metrics, and JavaScript's garbage. */
const RUN_BYTES = 30e6;

/** Memory of a thread that decodes images. */
const WORKER_BYTES = 40e6;

/** Shapes of batches whose time is measured: rarely more. */
const TIMED_SHAPES = 4;

interface MeasuredPhase {
  readonly phase: Phase;
  readonly found: readonly (DryRun & { readonly size: number })[];
}

/** Memory of the process beside its tensors, in bytes. */
interface ProcessBytes {
  /** Before the first dry run. */
  readonly before: number;
  /** After the first and after the last dry run. */
  readonly first: number;
  readonly last: number;
  /** Memory that kernels keep for the shapes of one more batch. */
  readonly kernels: number;
  /** Teachers and threads. */
  readonly others: number;
}

interface PlannerParts {
  readonly device: Device;
  /** Bytes of the strategy's teachers. */
  readonly teachers: number;
  readonly config: TrainConfig;
  readonly source: Source;
  readonly facts: StrategyFacts;
  readonly kept: KeptBytes;
  readonly phases: readonly MeasuredPhase[];
  readonly process: ProcessBytes;
}

/**
 * Predicts the memory of a training by dry runs: two real steps on noise for batches of three small
 * sizes, in every phase, after encoding as many images as a step has if the strategy encodes all of them
 * before. The recorded allocations are extrapolated to the batch size; see {@link footprintOf}.
 */
export class MemoryPlanner {
  readonly #parts: PlannerParts;

  private constructor(parts: PlannerParts) {
    this.#parts = parts;
  }

  static async create(config: TrainConfig, context: PlanContext): Promise<MemoryPlanner> {
    const { source, models, device = 'cpu' } = context;
    const facts = strategyFacts(config, context);
    const marks = [bytesBesideTensors()];
    const phases: MeasuredPhase[] = [];
    let kept: KeptBytes = { parameters: 0, gradients: 0, optimizer: 0, average: 0 };
    for (const [phaseIndex, { phase }] of facts.phases.entries()) {
      const found: (DryRun & { size: number })[] = [];
      for (const size of sizesOf(config, context)) {
        if (found.length >= 3 && (alike(found.slice(-3)) || size > microBatchSize(config.train)))
          break;
        context.emit?.({
          kind: 'preparing',
          message: `planning memory on batches of ${size}`,
        });
        const run = await dryRun(config, context, { phaseIndex, size });
        ({ kept } = run);
        found.push({ ...run, size });
        marks.push(bytesBesideTensors());
      }
      phases.push({ phase, found: found.slice(-3) });
    }
    const teachers = models.reduce(
      (sum, { model }) => sum + bytesOf(model.stateDict().values()),
      0,
    );
    const threads = config.train.workers * WORKER_BYTES;
    const process = processBytes(marks, isAccelerator(device) ? threads : teachers + threads);
    return new MemoryPlanner({ device, teachers, config, source, facts, kept, phases, process });
  }

  /** The prediction. */
  plan({
    dryRuns = { memory: true, time: false },
    ...changes
  }: MemoryPlanOptions = {}): MemoryPlan {
    const { config, facts, kept, phases, source, device, teachers } = this.#parts;
    const train = { ...config.train, ...changes };
    const tensors = MARGIN * Math.max(...phases.map((phase) => this.#tensors(phase, train)));
    const stored = facts.storedBytes * source.size;
    const { batches, images } = this.#data(train);
    const process = this.#process(dryRuns);
    const step = tensors - kept.parameters - kept.gradients - kept.optimizer - kept.average;
    const onDevice = isAccelerator(device) ? tensors + teachers : 0;
    const total = (onDevice > 0 ? 0 : tensors) + stored + batches + images + process;
    return { ...kept, step: Math.max(0, step), stored, batches, images, process, onDevice, total };
  }

  /** Bytes of the tensors of a phase. */
  #tensors({ found }: MeasuredPhase, train: TrainSettings): number {
    const { config, kept } = this.#parts;
    const microBatch = microBatchSize(train);
    const work = (part: 'making' | 'preparing' | 'steps' | 'losses', size: number): Work => ({
      traces: found.map((one): SizedTrace => ({ size: one.size, trace: one[part] })),
      size,
    });
    // Gradients of earlier micro-batches exist while later ones are computed: at most one set.
    const earlier = addsUp(train) && !addsUp(config.train) ? kept.gradients : 0;
    const own =
      earlier +
      footprintOf(
        work('making', microBatch),
        work('preparing', preparedAtOnce(train)),
        work('steps', microBatch),
      );
    if (microBatch === train.batchSize) return own;
    // Features of all micro-batches, and their gradients.
    const features = 2 * at(found, 0).featureBytes * train.batchSize;
    return own + footprintOf(work('losses', train.batchSize)) + features;
  }

  #data(train: TrainSettings): Pick<MemoryPlan, 'batches' | 'images'> {
    const { config, facts, source } = this.#parts;
    const cacheBytes = pixelCacheLimit(train.memoryLimit);
    const { size } = config.preprocess;
    return {
      batches: batchBytes({ ...config, train }, facts),
      images: facts.views === 0 ? 0 : pixelCacheBytes(source, size, { cacheBytes }),
    };
  }

  #process({ memory, time }: DryRuns): number {
    const { phases, process } = this.#parts;
    const { before, first, last, kernels, others } = process;
    // The first dry run adds what any training needs once, and the kernels of one batch.
    const standing = memory ? last : Math.max(before, first) - kernels;
    return standing + phases.length * (time ? 1 + TIMED_SHAPES : 1) * kernels + others + RUN_BYTES;
  }
}

/** Bytes of the images of a step's batches, of those prepared for the next, and of a pass before training. */
export function batchBytes(
  { train, preprocess: { size } }: Pick<TrainConfig, 'train' | 'preprocess'>,
  { views, storedBytes, phases }: StrategyFacts,
): number {
  const largest = Math.max(...phases.map(({ phase }) => phase.imageSize ?? size));
  const ahead = Math.max(1, 2 * train.workers) + 1;
  const samples = train.accumulate * train.batchSize + ahead * microBatchSize(train);
  const encoded = storedBytes > 0 ? preparedAtOnce(train) * 3 * size ** 2 : 0;
  return Math.max(encoded, views * samples * 3 * largest ** 2);
}

/**
 * Samples of the dry runs. A device tells its peak alone, and with few samples that is when the gradients of
 * all weights are there: their bytes hide those that grow with the samples. So its batches are larger, but
 * not larger than the training's.
 */
function sizesOf(config: TrainConfig, { device = 'cpu', longest }: PlanContext): readonly number[] {
  if (!isAccelerator(device)) return SIZES;
  const { model, train } = config;
  const captionTokens = Math.min(longest.tokens, model.text.contextLength);
  const { image, text } = activationBytes(model, { captionTokens });
  const perSample = (image + text) * (train.gradCheckpointing ? KEPT_BY_CHECKPOINTING : 1);
  const gradients = 4 * parameterCount(model).total;
  const enough = Math.ceil((ACTIVATIONS * gradients) / perSample);
  // Weights, gradients and two moments are there as well.
  const room = DRY_RUN_ROOM * deviceMemory(device).free - 4 * gradients;
  const most = Math.min(microBatchSize(train), room / perSample);
  const interval = Math.max(SIZES[0], Math.min(enough, Math.floor(most / 3)));
  return [interval, 2 * interval, 3 * interval];
}

/** True if dry runs took the same blocks, of other sizes. */
function alike(found: readonly DryRun[]): boolean {
  return (['making', 'preparing', 'steps', 'losses'] as const).every((part) =>
    sameBlocks(found.map((one) => one[part])),
  );
}

function processBytes(marks: readonly number[], others: number): ProcessBytes {
  const [before = 0, first = before] = marks;
  const last = marks.at(-1) ?? first;
  const kernels = Math.max(0, last - first) / Math.max(1, marks.length - 2);
  return { before, first, last, kernels, others };
}

/** Memory of this process beside its tensors. */
function bytesBesideTensors(): number {
  emptyCache();
  return process.memoryUsage.rss() - memoryStats().liveBytes;
}
