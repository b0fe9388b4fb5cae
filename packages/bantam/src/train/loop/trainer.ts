import { setImmediate } from 'node:timers/promises';
import {
  clamp_,
  clipGradNorm,
  emaDecay,
  noGrad,
  norm,
  normEach,
  schedule,
  scope,
  stack,
  type Device,
  type Ema,
  type FloatDType,
  type Optimizer,
  type RandomStreams,
  type Tensor,
} from '@bantam/torch';
import type { Batch, Loader } from '../../data/index.js';
import type { Clip } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import { addGradients, type Piece } from './gradients.js';
import { BufferSnapshot } from './buffer-snapshot.js';
import {
  budgetProgress,
  nothingSpent,
  schedulePosition,
  secondsLeft,
  type Budget,
  type Spent,
} from '../config/budget.js';
import type { Checkpoint, CheckpointState } from '../run-dir/checkpoint.js';
import type { TrainerConfig } from '../config/config.js';
import type { MetricsRow } from '../run-dir/metrics.js';
import { phaseAt, type Phase, type PhasePosition } from '../strategies/phases.js';
import { flopsPerSample, loadsPerStep, PieceMaker, samplesOf } from './micro-batch.js';
import type { Strategy } from '../strategies/strategy.js';

/** Where a {@link Trainer} gets its batches: a {@link Loader}, or what gives ready ones. */
export type BatchStream = Pick<Loader, 'batches' | 'waitSeconds'> &
  Partial<Pick<Loader, 'recycle'>>;

/** Everything that a {@link Trainer} works on; `createTrainer()` puts it together. */
export interface TrainerParts {
  config: TrainerConfig;
  strategy: Strategy;
  model: Clip;
  tokenizer: Tokenizer;
  loader: BatchStream;
  optimizer: Optimizer;
  ema: Ema | null;
  streams: RandomStreams;
  budget: Budget;
  precision: FloatDType;
  device?: Device;
}

/** A step that the optimizer took. */
export interface TakenStep {
  readonly kind: 'step';
  readonly row: MetricsRow;
  readonly progress: number;
  readonly etaSeconds: number;
}

/** A step that was left out, as its loss or gradient is not finite. */
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

/** What one step reports. */
export type StepReport = TakenStep | SkippedStep;

/** What came of a step's batches. */
interface StepResult {
  readonly loss: number;
  readonly losses: Readonly<Record<string, number>>;
  readonly gradNorm: number;
  /** Whether the optimizer took the step. */
  readonly taken: boolean;
}

/** Upper bound of the learned log temperature: the scale stays at most 100 (CLIP, section 2.4). */
const maxLogitScale = Math.log(100);

/** The parts of a checkpoint that hold tensors. */
export const checkpointParts = ({
  ema,
  strategy,
}: Pick<TrainerParts, 'ema' | 'strategy'>): string[] => [
  'model',
  'optimizer',
  ...(ema === null ? [] : ['ema']),
  ...(strategy.module === null ? [] : ['strategy']),
];

/**
 * The training loop: batches → losses → gradients → optimizer, until the budget is used.
 *
 * It is a generator, so that whoever drives it decides what happens between steps (metrics,
 * checkpoints, interruption), and the event loop lives there.
 */
export class Trainer {
  readonly #parts: TrainerParts;
  readonly #pieces: PieceMaker;
  #spent: Spent = { ...nothingSpent };
  #step = 0;
  #next = { epoch: 0, position: 0 };
  #loss = NaN;

  constructor(parts: TrainerParts) {
    this.#parts = parts;
    const { config, tokenizer, device = 'cpu' } = parts;
    this.#pieces = new PieceMaker({ config, tokenizer, device });
  }

  /** Optimizer steps done so far. */
  get step(): number {
    return this.#step;
  }

  /** What was used so far. */
  get spent(): Readonly<Spent> {
    return this.#spent;
  }

  /** Mean loss of the latest steps. */
  get loss(): number {
    return this.#loss;
  }

  /** Trains until the budget is used or the consumer stops; yields after each optimizer step. */
  async *run(): AsyncGenerator<StepReport, void, undefined> {
    while (this.progress < 1) yield* this.#runPhase(this.#phase());
  }

  /** The state to write, its tensors not copied. */
  checkpoint(): Checkpoint {
    const { model, optimizer, ema, strategy, streams } = this.#parts;
    const states = Object.entries(streams.state());
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
      model: model.stateDict(),
      optimizer: optimizer.state(),
      ...(ema !== null && { ema: ema.state() }),
      ...(strategy.module !== null && { strategy: strategy.module.stateDict() }),
    };
    return { state, tensors };
  }

  /** Takes back what {@link checkpoint} gave. */
  restore({ state, tensors }: Checkpoint): void {
    this.restoreWeights(tensors);
    this.#parts.streams.setState(
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
   * Takes back the tensors of {@link checkpoint} alone, of model, optimizer, EMA and strategy. What
   * was used of the budget, the number of the step, the random streams and the place in the data
   * stay as they are, so training goes on with samples that it has not seen since.
   */
  restoreWeights(tensors: Checkpoint['tensors']): void {
    const { model, optimizer, ema, strategy } = this.#parts;
    const part = (name: string): ReadonlyMap<string, Tensor> => {
      const found = tensors[name];
      if (found === undefined) throw new RangeError(`The checkpoint has no part '${name}'.`);
      return found;
    };
    model.loadStateDict(part('model'));
    optimizer.loadState(part('optimizer'));
    ema?.loadState(part('ema'));
    strategy.module?.loadStateDict(part('strategy'));
  }

  /** Whether every weight of the model is finite, and small enough for their norm to be. */
  hasFiniteWeights(): boolean {
    const weights = this.#parts.model.parameters();
    return noGrad(() => scope(() => Number.isFinite(norm(stack(normEach(weights))).item())));
  }

  /** Share of the budget that is used, 0 … 1. */
  get progress(): number {
    return budgetProgress(this.#parts.budget, this.#spent);
  }

  #phase(): PhasePosition {
    return phaseAt(this.#parts.strategy.phases, this.progress);
  }

  /** Steps until the phase's share of the budget is used. */
  async *#runPhase({ phase, start, end }: PhasePosition): AsyncGenerator<StepReport> {
    const { config, loader } = this.#parts;
    const size = phase.imageSize ?? config.preprocess.size;
    const perStep = loadsPerStep(config.train);
    let batches: Batch[] = [];
    let clock = performance.now();
    let waited = loader.waitSeconds;
    for await (const batch of loader.batches(this.#next, { size })) {
      batches.push(batch);
      if (batches.length < perStep) continue;
      const lr = this.#learningRate({ phase, start, end });
      const { loss, losses, gradNorm, taken } = this.#optimize(batches, phase, lr);

      const samples = batches.reduce((sum, { size }) => sum + size, 0);
      const keys = batches.flatMap((batch) => batch.keys);
      const seconds = (performance.now() - clock) / 1000;
      const wait = loader.waitSeconds - waited;
      waited = loader.waitSeconds;
      this.#spent.seconds += seconds;
      this.#spent.samples += samples;
      this.#next = batch.next;
      for (const done of batches) loader.recycle?.(done);
      batches = [];
      if (taken) {
        this.#step += 1;
        this.#loss = Number.isNaN(this.#loss) ? loss : 0.9 * this.#loss + 0.1 * loss;
        const row = {
          step: this.#step,
          samples: this.#spent.samples,
          epoch: batch.epoch,
          loss,
          losses,
          lr,
          logitScale: Math.exp(this.#parts.model.logitScale.item()),
          gradNorm,
          samplesPerSecond: samples / seconds,
          dataWait: Math.min(1, wait / seconds),
          seconds: this.#spent.seconds,
        };
        const etaSeconds = secondsLeft(this.#parts.budget, this.#spent) ?? 0;
        yield { kind: 'step', row, progress: this.progress, etaSeconds };
      } else {
        const step = this.#step + 1;
        yield { kind: 'skip', step, samples: this.#spent.samples, loss, gradNorm, keys };
      }
      if (this.progress >= end) return;
      // What the consumer did meanwhile, such as saving, is no training.
      clock = performance.now();
      // Native work is synchronous: timers, signals and the loader's messages get their turn here.
      await setImmediate();
    }
  }

  /** The learning rate of the coming step: every phase has a whole schedule of its own. */
  #learningRate({ phase, start, end }: PhasePosition): number {
    const { budget, config } = this.#parts;
    const { train } = config;
    const { step, total } = schedulePosition(
      budget,
      this.#spent,
      train.batchSize * train.accumulate,
    );
    const length = (end - start) * total;
    const factor = schedule({
      kind: train.schedule,
      total: length,
      warmup: train.warmup * length,
      cooldown: train.cooldown * length,
    });
    return train.lr * phase.lr * factor(step - start * total);
  }

  /**
   * Gradients of the mean loss over the contrastive batches, then one step of the optimizer. Where
   * loss or gradient are not finite no step is taken, and all is as before.
   */
  #optimize(batches: readonly Batch[], phase: Phase, lr: number): StepResult {
    const { config, ema, model, optimizer, strategy } = this.#parts;
    return scope(() => {
      const buffers = new BufferSnapshot([model, ...(strategy.module ? [strategy.module] : [])]);
      const losses = this.#addGradients(batches, phase);
      const loss = Object.values(losses).reduce((sum, value) => sum + value, 0);
      const limit = config.train.clipNorm;
      const parameters = optimizer.groups.flatMap((group) => [...group.parameters.values()]);
      const gradNorm = clipGradNorm(parameters, limit === 0 ? Infinity : limit);
      const taken = Number.isFinite(loss) && Number.isFinite(gradNorm);
      if (taken) {
        optimizer.step({ lr });
        noGrad(() => {
          clamp_(model.logitScale, { min: 0, max: maxLogitScale });
          strategy.afterStep?.();
        });
        ema?.update({ decay: emaDecay(this.#step, config.train.ema) });
      } else {
        buffers.restore();
        strategy.afterSkip?.();
      }
      optimizer.zeroGrad();
      return { loss, losses, gradNorm, taken };
    });
  }

  /** Adds the gradients of `accumulate` contrastive batches; returns their mean losses. */
  #addGradients(batches: readonly Batch[], phase: Phase): Record<string, number> {
    const { config, model, precision, strategy, streams } = this.#parts;
    const { accumulate } = config.train;
    const progress = this.progress;
    const perBatch = batches.length / accumulate;
    const means: Record<string, number> = {};
    for (let i = 0; i < accumulate; i++) {
      const together = batches.slice(i * perBatch, (i + 1) * perBatch);
      const losses = addGradients(
        together.map((batch) => this.#piece(batch, phase)),
        {
          strategy,
          encode: { model, streams, phase },
          losses: {
            model,
            samples: samplesOf(together),
            progress,
            precision,
            step: this.#step + 1,
          },
          weight: 1 / accumulate,
          gradCheckpointing: config.train.gradCheckpointing,
        },
      );
      for (const [name, value] of Object.entries(losses)) {
        means[name] = (means[name] ?? 0) + value / accumulate;
      }
    }
    return means;
  }

  #piece(batch: Batch, phase: Phase): Piece {
    const { config, strategy } = this.#parts;
    const { captionTokens, ...piece } = this.#pieces.make(batch, phase);
    this.#spent.flops += batch.size * flopsPerSample(strategy, config, { captionTokens, phase });
    return piece;
  }
}
