/** The training loop: micro-batches → losses → gradients → optimizer, until the budget is used. */
import { setImmediate } from 'node:timers/promises';
import {
  clamp_,
  clipGradNorm,
  describeGroups,
  Ema,
  emaDecay,
  noGrad,
  norm,
  normEach,
  RandomStreams,
  schedule,
  scope,
  stack,
  type FloatDType,
  type Optimizer,
  type Tensor,
} from '@bantam/torch';
import { resolvePrecision } from '../../base/precision.js';
import type { Batch, Loader } from '../../data/index.js';
import { createModel, type Clip, type TrainedShares } from '../../models/index.js';
import {
  budgetProgress,
  parseBudget,
  schedulePosition,
  secondsLeft,
  unspent,
  type Budget,
  type Spent,
} from '../config/budget.js';
import type { Checkpoint, CheckpointState } from '../run-dir/checkpoint.js';
import type { MetricsRow } from '../run-dir/metrics.js';
import { phaseAt, type Phase, type PhasePosition } from '../strategies/phases.js';
import type { StepContext, Strategy } from '../strategies/strategy.js';
import type { TrainingContext } from './context.js';
import { addGradients, BufferSnapshot } from './gradients.js';
import { copyInitialWeights } from './initial-weights.js';
import {
  Collator,
  flopsPerSample,
  microBatchesPerStep,
  samplesOf,
  type MicroBatch,
} from './micro-batch.js';
import { createOptimizer, groupParameters, trainedModules } from './optimizer.js';
import { TrainableWeights } from './trainable-weights.js';

/** Source of a {@link Trainer}'s micro-batches: a {@link Loader}, or one of ready batches. */
export type BatchStream = Pick<Loader, 'batches' | 'waitSeconds'> &
  Partial<Pick<Loader, 'recycle'>>;

/** A step that the optimizer took. */
export interface TakenStep {
  readonly kind: 'step';
  readonly row: MetricsRow;
  readonly progress: number;
  readonly etaSeconds: number;
}

/** A step that was skipped, as its loss or gradient is not finite. */
export interface SkippedStep {
  readonly kind: 'skip';
  /** Number of the step that it would have been. */
  readonly step: number;
  /** Samples seen, with those of this one. */
  readonly samples: number;
  readonly loss: number;
  readonly gradNorm: number;
  /** Keys of its samples. */
  readonly keys: readonly string[];
}

/** Report of one step. */
export type StepReport = TakenStep | SkippedStep;

/** Result of one optimizer step. */
interface StepResult {
  readonly loss: number;
  readonly losses: Readonly<Record<string, number>>;
  readonly gradNorm: number;
  /** True if the optimizer took the step. */
  readonly taken: boolean;
}

/** Upper bound of the learned log temperature: the scale stays at most 100 (CLIP, section 2.4). */
const maxLogitScale = Math.log(100);

/** The parts of a checkpoint that hold tensors. */
export const checkpointParts = ({
  ema,
  strategy,
}: {
  readonly ema: Ema | null;
  readonly strategy: Strategy;
}): string[] => [
  'model',
  'optimizer',
  ...(ema === null ? [] : ['ema']),
  ...(strategy.module === null ? [] : ['strategy']),
];

/** The parts of a {@link TrainingContext} that a trainer uses. */
export type TrainerContext = Pick<TrainingContext, 'config' | 'strategy' | 'tokenizer'> &
  Partial<Pick<TrainingContext, 'initial'>>;

/**
 * Model, optimizer and random streams of a training, and its steps.
 *
 * The steps are a generator, so that its consumer decides what happens between them (metrics,
 * checkpoints, interruption), and the event loop runs there. Disposing frees all but the strategy.
 */
export class Trainer implements Disposable {
  readonly model: Clip;
  /** Moving average of the weights; null: there is none. */
  readonly ema: Ema | null;
  /** The optimizer's groups of parameters, for printing. */
  readonly groups: string;
  readonly #context: TrainerContext;
  readonly #batches: BatchStream;
  readonly #optimizer: Optimizer;
  readonly #streams: RandomStreams;
  readonly #budget: Budget;
  readonly #precision: FloatDType;
  readonly #collator: Collator;
  readonly #weights: TrainableWeights;
  #spent: Spent = { ...unspent };
  #step = 0;
  #next = { epoch: 0, position: 0 };
  #loss = NaN;
  /** Costs of the weights that learn in the present phase. */
  #shares: TrainedShares | undefined;

  /** Initialises the model, or copies the weights of `context.initial`, which is freed. */
  constructor(context: TrainerContext, batches: BatchStream) {
    const { config, strategy, initial } = context;
    const { train } = config;
    this.#context = context;
    this.#batches = batches;
    this.#streams = new RandomStreams({ seed: config.seed });
    this.model = createModel(config.model, { generator: this.#streams.get('init') });
    if (initial) {
      copyInitialWeights(initial, this.model, config.init);
      initial[Symbol.dispose]();
    }
    this.#weights = new TrainableWeights(this.model, { config, strategy, streams: this.#streams });
    const groups = groupParameters(this.model, strategy, train);
    this.groups = describeGroups(groups, trainedModules(this.model, strategy));
    this.#optimizer = createOptimizer(train, groups);
    this.ema = train.ema > 0 ? new Ema(this.model) : null;
    this.#budget = parseBudget(config.budget);
    this.#precision = resolvePrecision(train.precision);
    this.#collator = new Collator(context);
  }

  [Symbol.dispose](): void {
    this.ema?.[Symbol.dispose]();
    this.#optimizer[Symbol.dispose]();
    this.model[Symbol.dispose]();
  }

  /** Optimizer steps done so far. */
  get step(): number {
    return this.#step;
  }

  /** Resources used so far. */
  get spent(): Readonly<Spent> {
    return this.#spent;
  }

  /** Fraction of the budget that is used, 0 … 1. */
  get progress(): number {
    return budgetProgress(this.#budget, this.#spent);
  }

  /** Mean loss of the latest steps. */
  get loss(): number {
    return this.#loss;
  }

  /** Trains until the budget is used or the consumer stops; yields after each optimizer step. */
  async *run(): AsyncGenerator<StepReport, void, undefined> {
    const { phases } = this.#context.strategy;
    while (this.progress < 1) yield* this.#runPhase(phaseAt(phases, this.progress));
  }

  /** The state to write, its tensors not copied. */
  checkpoint(): Checkpoint {
    const { strategy } = this.#context;
    const states = Object.entries(this.#streams.state());
    const state: CheckpointState = {
      step: this.#step,
      spent: { ...this.#spent },
      ...this.#next,
      streams: Object.fromEntries(
        states.map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
      ),
      loss: Number.isNaN(this.#loss) ? null : this.#loss,
    };
    const tensors = {
      model: this.model.stateDict(),
      optimizer: this.#optimizer.state(),
      ...(this.ema !== null && { ema: this.ema.state() }),
      ...(strategy.module !== null && { strategy: strategy.module.stateDict() }),
    };
    return { state, tensors };
  }

  /** Restores the state of a {@link checkpoint}. */
  restore({ state, tensors }: Checkpoint): void {
    this.restoreWeights(tensors);
    this.#streams.setState(
      Object.fromEntries(
        Object.entries(state.streams).map(([name, text]) => [name, Buffer.from(text, 'base64')]),
      ),
    );
    this.#step = state.step;
    this.#spent = { ...state.spent };
    this.#next = { epoch: state.epoch, position: state.position };
    this.#loss = state.loss ?? NaN;
  }

  /**
   * Restores the tensors of a {@link checkpoint} alone, of model, optimizer, EMA and strategy. The
   * progress, the number of the step, the random streams and the position in the data stay, so
   * training resumes with samples that it has not seen since.
   */
  restoreWeights(tensors: Checkpoint['tensors']): void {
    const part = (name: string): ReadonlyMap<string, Tensor> => {
      const found = tensors[name];
      if (found === undefined) throw new RangeError(`The checkpoint has no part '${name}'.`);
      return found;
    };
    this.model.loadStateDict(part('model'));
    this.#optimizer.loadState(part('optimizer'));
    this.ema?.loadState(part('ema'));
    this.#context.strategy.module?.loadStateDict(part('strategy'));
  }

  /** True if every weight of the model is finite, and small enough for their norm to be. */
  hasFiniteWeights(): boolean {
    const weights = this.model.parameters();
    return noGrad(() => scope(() => Number.isFinite(norm(stack(normEach(weights))).item())));
  }

  /** Steps until the phase's fraction of the budget is used. */
  async *#runPhase(position: PhasePosition): AsyncGenerator<StepReport> {
    const { config } = this.#context;
    const { phase, end } = position;
    this.#weights.select(phase.trains);
    this.#shares = this.#weights.shares(phase.trains);
    const size = phase.imageSize ?? config.preprocess.size;
    const perStep = microBatchesPerStep(config.train);
    let batches: Batch[] = [];
    let clock = performance.now();
    let waited = this.#batches.waitSeconds;
    for await (const batch of this.#batches.batches(this.#next, { size })) {
      batches.push(batch);
      if (batches.length < perStep) continue;
      const lr = this.#learningRate(position);
      const result = this.#optimize(batches, phase, lr);

      const samples = batches.reduce((sum, { size }) => sum + size, 0);
      const keys = batches.flatMap((batch) => batch.keys);
      const seconds = (performance.now() - clock) / 1000;
      const wait = this.#batches.waitSeconds - waited;
      waited = this.#batches.waitSeconds;
      this.#spent.seconds += seconds;
      this.#spent.samples += samples;
      this.#next = batch.next;
      for (const done of batches) this.#batches.recycle?.(done);
      batches = [];
      const { loss, losses, gradNorm } = result;
      if (result.taken) {
        this.#step += 1;
        this.#loss = Number.isNaN(this.#loss) ? loss : 0.9 * this.#loss + 0.1 * loss;
        const row = {
          step: this.#step,
          samples: this.#spent.samples,
          epoch: batch.epoch,
          loss,
          losses,
          lr,
          logitScale: Math.exp(this.model.logitScale.item()),
          gradNorm,
          samplesPerSecond: samples / seconds,
          dataWait: Math.min(1, wait / seconds),
          seconds: this.#spent.seconds,
        };
        const etaSeconds = secondsLeft(this.#budget, this.#spent) ?? 0;
        yield { kind: 'step', row, progress: this.progress, etaSeconds };
      } else {
        const step = this.#step + 1;
        yield { kind: 'skip', step, samples: this.#spent.samples, loss, gradNorm, keys };
      }
      if (this.progress >= end) return;
      // The consumer's work in between, such as saving, is not training time.
      clock = performance.now();
      // Native work is synchronous: timers, signals and the loader's messages run here.
      await setImmediate();
    }
  }

  /** The learning rate of the coming step: every phase has a whole schedule of its own. */
  #learningRate({ phase, start, end }: PhasePosition): number {
    const { train } = this.#context.config;
    const { step, total } = schedulePosition(
      this.#budget,
      this.#spent,
      train.batchSize * train.accumulate,
    );
    const length = (end - start) * total;
    const multiplier = schedule({
      kind: train.schedule,
      total: length,
      warmup: train.warmup * length,
      cooldown: train.cooldown * length,
    });
    return train.lr * phase.lr * multiplier(step - start * total);
  }

  /**
   * Gradients of the mean loss over the contrastive batches, then one step of the optimizer. If the
   * loss or the gradient is not finite no step is taken, and nothing has changed.
   */
  #optimize(batches: readonly Batch[], phase: Phase, lr: number): StepResult {
    const { config, strategy } = this.#context;
    return scope(() => {
      const buffers = new BufferSnapshot([
        this.model,
        ...(strategy.module === null ? [] : [strategy.module]),
      ]);
      const losses = this.#addGradients(batches, phase);
      const loss = Object.values(losses).reduce((sum, value) => sum + value, 0);
      const limit = config.train.clipNorm;
      const groups = this.#optimizer.groups;
      const parameters = groups.flatMap((group) => [...group.parameters.values()]);
      const gradNorm = clipGradNorm(parameters, limit === 0 ? Infinity : limit);
      const taken = Number.isFinite(loss) && Number.isFinite(gradNorm);
      if (taken) {
        this.#optimizer.step({ lr });
        noGrad(() => {
          const { logitScale } = this.model;
          if (logitScale.requiresGrad) clamp_(logitScale, { min: 0, max: maxLogitScale });
          strategy.afterStep?.();
        });
        this.ema?.update({ decay: emaDecay(this.#step, config.train.ema) });
      } else {
        buffers.restore();
        strategy.afterSkip?.();
      }
      this.#optimizer.zeroGrad();
      return { loss, losses, gradNorm, taken };
    });
  }

  /** Adds the gradients of `accumulate` contrastive batches; returns their mean losses. */
  #addGradients(batches: readonly Batch[], phase: Phase): Record<string, number> {
    const { strategy, config } = this.#context;
    const { accumulate, gradCheckpointing } = config.train;
    const progress = this.progress;
    const perBatch = batches.length / accumulate;
    const weight = 1 / accumulate;
    const means: Record<string, number> = {};
    for (let i = 0; i < accumulate; i++) {
      const contrasted = batches.slice(i * perBatch, (i + 1) * perBatch);
      const microBatches = contrasted.map((batch) => this.#collate(batch, phase));
      const step: StepContext = {
        model: this.model,
        streams: this.#streams,
        phase,
        samples: samplesOf(contrasted),
        step: this.#step + 1,
        progress,
        precision: this.#precision,
      };
      const losses = addGradients(microBatches, { strategy, step, weight, gradCheckpointing });
      for (const [name, value] of Object.entries(losses)) {
        means[name] = (means[name] ?? 0) + value / accumulate;
      }
    }
    return means;
  }

  #collate(batch: Batch, phase: Phase): MicroBatch {
    const { config, strategy } = this.#context;
    const { captionTokens, ...microBatch } = this.#collator.collate(batch, phase);
    const step = { captionTokens, phase, trained: this.#shares };
    this.#spent.flops += batch.size * flopsPerSample(strategy, config, step);
    return microBatch;
  }
}
