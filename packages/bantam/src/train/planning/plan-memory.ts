import { emptyCache, memoryStats } from '@bantam/torch';
import { pixelCacheBytes, type Source } from '../../data/index.js';
import type { TrainConfig, TrainSettings } from '../config/config.js';
import type { Phase } from '../strategies/phases.js';
import { encodedAtOnce, loadSize } from '../loop/micro-batch.js';
import { footprintOf, sameBlocks, type SizedTrace, type Work } from './extrapolate-trace.js';
import { addsUp, bytesOf, rehearse, type KeptBytes, type Rehearsal } from './dry-run.js';
import { strategyFacts, type PlanOptions, type StrategyFacts } from './dummy-data.js';

/** What a training is predicted to take when it takes most, in bytes. */
export interface MemoryPlan extends KeptBytes {
  /** Activations, features, similarities, and what operators need in between. */
  readonly step: number;
  /** Features of all pictures, where they are computed before the first step and kept. */
  readonly stored: number;
  /** Pictures of the batches at hand and of those that are prepared. */
  readonly batches: number;
  /** Decoded pictures that are kept for later epochs, at most. */
  readonly pictures: number;
  /** Node.js, libtorch, the threads that prepare data, and models that the strategy works with. */
  readonly process: number;
  readonly total: number;
}

/** Options of {@link MemoryPlanner.plan}: other settings than the configuration's where they are given. */
export interface MemoryPlanOptions extends Partial<
  Pick<TrainSettings, 'batchSize' | 'microBatch'>
> {
  /** What the training's own process rehearses. Default: its memory. */
  rehearses?: Rehearses | undefined;
}

/**
 * What of a training is rehearsed in its own process before it begins: what kernels keep for the
 * shapes of those batches stays.
 */
export interface Rehearses {
  readonly memory: boolean;
  readonly time: boolean;
}

/**
 * Samples of the steps that are rehearsed: few, and three sizes to tell squares. The first ones are
 * dropped where so few rows are computed otherwise than more.
 */
const SIZES = [2, 4, 6, 8, 10] as const;

/** For what large batches are computed otherwise than small ones. */
const MARGIN = 1.03;

/** What the rest of a run takes: its code, messages, metrics, and garbage of JavaScript's. */
const RUN_BYTES = 30e6;

/** A thread that decodes pictures, with what the decoder keeps. */
const WORKER_BYTES = 40e6;

/** Shapes of batches that are rehearsed for their time, at most as a rule. */
const TIMED_SHAPES = 4;

interface RehearsedPhase {
  readonly phase: Phase;
  readonly found: readonly (Rehearsal & { readonly size: number })[];
}

/** What the process has beside its tensors, in bytes. */
interface ProcessBytes {
  /** Before the first rehearsal. */
  readonly before: number;
  /** After the first and after the last rehearsal. */
  readonly first: number;
  readonly last: number;
  /** What kernels keep for the shapes of one more batch. */
  readonly kernels: number;
  /** Models that the strategy works with, and threads. */
  readonly others: number;
}

interface PlannerParts {
  readonly config: TrainConfig;
  readonly source: Source;
  readonly facts: StrategyFacts;
  readonly kept: KeptBytes;
  readonly phases: readonly RehearsedPhase[];
  readonly process: ProcessBytes;
}

/**
 * Predicts the memory of a training by rehearsing it: two real steps on noise for batches of three
 * small sizes, in every phase, after as many pictures as a step has where all are encoded before. What
 * their tensors take is recorded and continued to the batch at hand; see {@link footprintOf}.
 */
export class MemoryPlanner {
  readonly #parts: PlannerParts;

  private constructor(parts: PlannerParts) {
    this.#parts = parts;
  }

  static async create(config: TrainConfig, options: PlanOptions): Promise<MemoryPlanner> {
    const { source, models } = options;
    const facts = strategyFacts(config, options);
    const marks = [bytesBesideTensors()];
    const phases: RehearsedPhase[] = [];
    let kept: KeptBytes = { parameters: 0, gradients: 0, optimizer: 0, average: 0 };
    for (const [place, { phase }] of facts.phases.entries()) {
      const found: (Rehearsal & { size: number })[] = [];
      for (const size of SIZES) {
        if (found.length >= 3 && (alike(found.slice(-3)) || size > loadSize(config.train))) break;
        options.onProgress?.(`planning memory on batches of ${size}`);
        const rehearsal = await rehearse(config, options, { place, size });
        ({ kept } = rehearsal);
        found.push({ ...rehearsal, size });
        marks.push(bytesBesideTensors());
      }
      phases.push({ phase, found: found.slice(-3) });
    }
    const teachers = models.reduce(
      (sum, { model }) => sum + bytesOf(model.stateDict().values()),
      0,
    );
    const threads = config.train.workers * WORKER_BYTES;
    const process = processBytes(marks, teachers + threads);
    return new MemoryPlanner({ config, source, facts, kept, phases, process });
  }

  /** The prediction. */
  plan({
    rehearses = { memory: true, time: false },
    ...changes
  }: MemoryPlanOptions = {}): MemoryPlan {
    const { config, facts, kept, phases, source } = this.#parts;
    const train = { ...config.train, ...changes };
    const engine = MARGIN * Math.max(...phases.map((phase) => this.#engine(phase, train)));
    const stored = facts.storedBytes * source.size;
    const { batches, pictures } = this.#data(train);
    const process = this.#process(rehearses);
    const step = engine - kept.parameters - kept.gradients - kept.optimizer - kept.average;
    const total = engine + stored + batches + pictures + process;
    return { ...kept, step: Math.max(0, step), stored, batches, pictures, process, total };
  }

  /** Bytes of the tensors of a phase. */
  #engine({ found }: RehearsedPhase, train: TrainSettings): number {
    const { config, kept } = this.#parts;
    const piece = loadSize(train);
    const work = (part: 'making' | 'preparing' | 'steps' | 'losses', size: number): Work => ({
      traces: found.map((one): SizedTrace => ({ size: one.size, trace: one[part] })),
      size,
    });
    // Gradients of earlier pieces are there while the later ones are computed, at most all beside.
    const earlier = addsUp(train) && !addsUp(config.train) ? kept.gradients : 0;
    const own =
      earlier +
      footprintOf(
        work('making', piece),
        work('preparing', encodedAtOnce(train)),
        work('steps', piece),
      );
    if (piece === train.batchSize) return own;
    // Features of all pieces, and their gradients.
    const features = 2 * (found[0]?.featureBytes ?? 0) * train.batchSize;
    return own + footprintOf(work('losses', train.batchSize)) + features;
  }

  #data(train: TrainSettings): Pick<MemoryPlan, 'batches' | 'pictures'> {
    const { config, facts, phases, source } = this.#parts;
    const { size } = config.preprocess;
    const edge = Math.max(...phases.map(({ phase }) => phase.imageSize ?? size));
    const ahead = Math.max(1, 2 * train.workers) + 1;
    const samples = train.accumulate * train.batchSize + ahead * loadSize(train);
    const encoded = facts.storedBytes > 0 ? encodedAtOnce(train) * 3 * size ** 2 : 0;
    return {
      batches: Math.max(encoded, facts.views * samples * 3 * edge ** 2),
      pictures: facts.views === 0 ? 0 : pixelCacheBytes(source, size),
    };
  }

  #process({ memory, time }: Rehearses): number {
    const { phases, process } = this.#parts;
    const { before, first, last, kernels, others } = process;
    // The first rehearsal brings what any training needs once, and the kernels of one batch.
    const standing = memory ? last : Math.max(before, first) - kernels;
    return standing + phases.length * (time ? 1 + TIMED_SHAPES : 1) * kernels + others + RUN_BYTES;
  }
}

/** Whether rehearsals took the same blocks, of other sizes. */
function alike(found: readonly Rehearsal[]): boolean {
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

/** What this process has beside its tensors. */
function bytesBesideTensors(): number {
  emptyCache();
  return process.memoryUsage.rss() - memoryStats().liveBytes;
}
