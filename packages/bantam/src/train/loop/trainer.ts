/** The training loop: micro-batches → losses → gradients → optimizer, until the budget is used. */
import { setImmediate } from 'node:timers/promises';
import {
  Ema,
  GradScaler,
  noGrad,
  norm,
  normEach,
  onDevice,
  RandomStreams,
  schedule,
  scope,
  stack,
  type Optimizer,
  type Tensor,
} from '@bantam/torch';
import { resolvePrecision, weightType } from '../../base/precision.js';
import type { Batch, Loader } from '../../data/index.js';
import { createModel, type Clip, type TrainedCosts } from '../../models/index.js';
import {
  budgetProgress,
  parseBudget,
  schedulePosition,
  unspent,
  type Budget,
  type Spent,
} from '../config/budget.js';
import { RemainingTime } from '../monitor/remaining-time.js';
import type { Checkpoint, CheckpointState } from '../run-dir/checkpoint.js';
import type { MetricsRow } from '../run-dir/metrics.js';
import { phaseAt, type PhasePosition } from '../strategies/phases.js';
import type { Strategy } from '../strategies/strategy.js';
import { OptimizerShards } from '../world/optimizer-shards.js';
import type { TrainingContext } from './context.js';
import { copyInitialWeights } from './initial-weights.js';
import { Collator, microBatchesPerStep } from './micro-batch.js';
import {
  createOptimizer,
  describeAll,
  groupParameters,
  trainedModules,
  type DescribedGroups,
} from './optimizer.js';
import { OptimizerStep, type StepValues } from './optimizer-step.js';
import { StepGradients } from './step-gradients.js';
import { TrainableWeights } from './trainable-weights.js';

/** Source of a {@link Trainer}'s micro-batches: a {@link Loader}, or one of ready batches. */
export type BatchStream = Pick<Loader, 'batches' | 'waitSeconds'> &
  Partial<Pick<Loader, 'recycle' | 'quarantine'>>;

/** A step that the optimizer took. */
export interface TakenStep {
  readonly kind: 'step';
  readonly row: MetricsRow;
  readonly progress: number;
  /** Null until the pace of the run is known. */
  readonly etaSeconds: number | null;
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

/** A step of float16 that was left out as the scaled gradient overflowed: the scale is smaller now. */
export interface OverflowedStep {
  readonly kind: 'overflow';
  /** Number of the step that it would have been. */
  readonly step: number;
}

/** Report of one step. */
export type StepReport = TakenStep | SkippedStep | OverflowedStep;

/** Facts of a step that are known before its numbers. */
interface StepFacts {
  readonly row: Omit<MetricsRow, 'step' | 'loss' | 'losses' | 'logitScale' | 'gradNorm'>;
  /** Keys of its samples. */
  readonly keys: readonly string[];
  readonly progress: number;
  readonly etaSeconds: number | null;
}

/** A step whose numbers the device has not given yet. */
interface PendingStep {
  readonly values: Promise<StepValues>;
  /** The report, once the numbers are there. */
  readonly report: (values: StepValues) => StepReport;
}

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
  Partial<Pick<TrainingContext, 'initial' | 'device' | 'world'>>;

/**
 * Model, optimizer and random streams of a training, and its steps.
 *
 * The steps are a generator, so that its consumer decides what happens between them (metrics,
 * checkpoints, interruption), and the event loop runs there. On a GPU the report of a step may come after
 * the next one has begun its work; {@link drain} waits for it. Disposing frees all but the strategy.
 */
export class Trainer implements Disposable {
  readonly model: Clip;
  /** Moving average of the weights; null: there is none. */
  readonly ema: Ema | null;
  /** The optimizer's groups of parameters. */
  readonly groups: DescribedGroups;
  readonly #context: TrainerContext;
  readonly #batches: BatchStream;
  readonly #optimizer: Optimizer;
  readonly #streams: RandomStreams;
  readonly #budget: Budget;
  readonly #remaining: RemainingTime;
  readonly #gradients: StepGradients;
  readonly #scaler: GradScaler | null;
  readonly #optimizerStep: OptimizerStep;
  /** Null: this process has the optimizer's whole state. */
  readonly #shards: OptimizerShards | null;
  readonly #weights: TrainableWeights;
  #pending: PendingStep | null = null;
  #spent: Spent = { ...unspent };
  #step = 0;
  #next = { epoch: 0, position: 0 };
  #loss = NaN;
  /** Costs of the weights that learn in the present phase. */
  #costs: TrainedCosts | undefined;

  /** Initialises the model, or copies the weights of `context.initial`, which is freed. */
  constructor(context: TrainerContext, batches: BatchStream) {
    const { config, strategy, initial, device = 'cpu', world = null } = context;
    const { train } = config;
    this.#context = context;
    this.#batches = batches;
    this.#streams = new RandomStreams({ seed: config.seed });
    const generator = this.#streams.get('init');
    this.model = onDevice(device, () => createModel(config.model, { generator }));
    if (initial) {
      copyInitialWeights(initial, this.model, config.init);
      initial[Symbol.dispose]();
    }
    const parts = { config, strategy, streams: this.#streams };
    this.#weights = onDevice(device, () => new TrainableWeights(this.model, parts));
    strategy.module?.to(weightType(train.precision));
    const groups = groupParameters(this.model, strategy, train);
    this.groups = describeAll(groups, trainedModules(this.model, strategy));
    this.#optimizer = createOptimizer(train, groups);
    this.ema = train.ema > 0 ? new Ema(this.model) : null;
    this.#budget = parseBudget(config.budget);
    this.#remaining = new RemainingTime(this.#budget);
    const precision = resolvePrecision(train.precision, device);
    this.#scaler = precision === 'float16' ? new GradScaler({ device }) : null;
    this.#gradients = new StepGradients({
      context,
      model: this.model,
      streams: this.#streams,
      collator: new Collator(context, device, weightType(train.precision)),
      precision,
      scaler: this.#scaler,
      world,
      quarantine: batches.quarantine,
    });
    world?.joinParts(this.model);
    this.#shards =
      world !== null && train.shardOptimizer ? new OptimizerShards(world, this.#optimizer) : null;
    this.#optimizerStep = new OptimizerStep({
      model: this.model,
      strategy,
      optimizer: this.#optimizer,
      ema: this.ema,
      scaler: this.#scaler,
      train,
      device,
      world,
      shards: this.#shards,
    });
  }

  [Symbol.dispose](): void {
    this.#scaler?.[Symbol.dispose]();
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
    const last = await this.drain();
    if (last !== null) yield last;
  }

  /**
   * Waits for the numbers of the last step, without holding other code up; the number of steps and the
   * loss are up to date then.
   *
   * @returns its report, if it has not been given
   */
  async drain(): Promise<StepReport | null> {
    const pending = this.#pending;
    if (pending === null) return null;
    const values = await pending.values;
    this.#pending = null;
    return pending.report(values);
  }

  /** True if other processes have parts of the optimizer's state. */
  get isSharded(): boolean {
    return this.#shards !== null;
  }

  /**
   * In rank 0 copies of the optimizer's state that other processes have, which the caller frees; every process
   * calls this.
   */
  async gatherOptimizer(): Promise<ReadonlyMap<string, Tensor>> {
    return (await this.#shards?.gather(this.#optimizer)) ?? new Map<string, Tensor>();
  }

  /**
   * The state to write, its tensors not copied. After {@link drain}.
   *
   * @param others - The optimizer's state that other processes have
   */
  checkpoint(others: ReadonlyMap<string, Tensor> = new Map()): Checkpoint {
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
      ...(this.#scaler !== null && { scaler: this.#scaler.state() }),
    };
    const tensors = {
      model: this.model.stateDict(),
      optimizer: new Map([...this.#optimizer.state(), ...others]),
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
    if (state.scaler !== undefined) this.#scaler?.loadState(state.scaler);
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
    const optimizer = part('optimizer');
    this.#optimizer.loadState(this.#shards?.own(optimizer) ?? optimizer);
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
    const { config, world } = this.#context;
    const { phase, end } = position;
    this.#weights.select(phase.trains);
    this.#costs = this.#weights.costs(phase.trains);
    const size = phase.imageSize ?? config.preprocess.size;
    const perStep = microBatchesPerStep(config.train);
    let batches: Batch[] = [];
    let clock = performance.now();
    let waited = this.#batches.waitSeconds;
    let communicated = world?.seconds ?? 0;
    for await (const batch of this.#batches.batches(this.#next, { size })) {
      batches.push(batch);
      if (batches.length < perStep) continue;
      const lr = this.#learningRate(position);
      const computed = await this.#gradients.add({
        batches,
        phase,
        costs: this.#costs,
        step: this.#step + (this.#pending === null ? 1 : 2),
        progress: this.progress,
        seen: this.#spent.samples,
      });
      // While the device computes this step's gradients: the numbers of the one before.
      const before = await this.drain();
      const { losses, buffers, undo, samples, keys } = computed;
      const values = this.#optimizerStep.take({ losses, buffers, undo, lr, step: this.#step });
      // A failure reaches whoever asks for the numbers.
      values.catch(() => undefined);
      if (!this.#optimizerStep.isDeferred) await values;

      const seconds = await this.#agreed((performance.now() - clock) / 1000);
      const wait = this.#batches.waitSeconds - waited;
      waited = this.#batches.waitSeconds;
      this.#spent.seconds += seconds;
      this.#spent.samples += samples;
      this.#spent.flops += computed.flops;
      this.#next = batch.next;
      for (const done of batches) this.#batches.recycle?.(done);
      batches = [];
      const row = {
        samples: this.#spent.samples,
        epoch: batch.epoch,
        lr,
        samplesPerSecond: samples / seconds,
        dataWait: Math.min(1, wait / seconds),
        ...(world && { communication: Math.min(1, (world.seconds - communicated) / seconds) }),
        seconds: this.#spent.seconds,
      };
      const etaSeconds = this.#remaining.after(this.#spent);
      const about = { row, keys, progress: this.progress, etaSeconds };
      this.#pending = { values, report: (found) => this.#report(found, about) };
      if (before !== null) yield before;
      if (!this.#optimizerStep.isDeferred) {
        const report = await this.drain();
        if (report !== null) yield report;
      }
      if (this.progress >= end) return;
      // The consumer's work in between, such as saving, is not training time.
      clock = performance.now();
      communicated = world?.seconds ?? 0;
      // Native work is synchronous: timers, signals and the loader's messages run here.
      await setImmediate();
    }
  }

  /** Counts a step, and reports it. */
  #report(
    { losses: perBatch, gradNorm, logitScale, taken, lossScale }: StepValues,
    { row, keys, progress, etaSeconds }: StepFacts,
  ): StepReport {
    const losses: Record<string, number> = {};
    for (const one of perBatch) {
      for (const [name, value] of Object.entries(one)) {
        losses[name] = (losses[name] ?? 0) + value / perBatch.length;
      }
    }
    const loss = Object.values(losses).reduce((sum, value) => sum + value, 0);
    const step = this.#step + 1;
    if (!taken) {
      // A scale of 1 is none: then the gradient itself is not finite.
      if (Number.isFinite(loss) && lossScale > 1) return { kind: 'overflow', step };
      return { kind: 'skip', step, samples: row.samples, loss, gradNorm, keys };
    }
    this.#step = step;
    this.#loss = Number.isNaN(this.#loss) ? loss : 0.9 * this.#loss + 0.1 * loss;
    return {
      kind: 'step',
      row: { ...row, step, loss, losses, logitScale, gradNorm },
      progress,
      etaSeconds,
    };
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

  /** Rank 0's time of a step: budgets and rates are the same in all processes. */
  async #agreed(seconds: number): Promise<number> {
    const { world } = this.#context;
    if (world === null || world === undefined) return seconds;
    // The step is done; if the processes have lost each other, the next one fails.
    return await world.ofFirst(seconds).catch(() => seconds);
  }
}
