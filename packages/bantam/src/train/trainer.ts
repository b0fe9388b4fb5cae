import { setImmediate } from 'node:timers/promises';
import {
  add,
  autocast,
  clamp_,
  clipGradNorm,
  emaDecay,
  type Device,
  type FloatDType,
  fromTypedArray,
  mul,
  noGrad,
  schedule,
  scope,
  to,
  type AdamW,
  type Ema,
  type RandomStreams,
  type Tensor,
} from '@bantam/torch';
import type { Batch, Loader } from '../data/index.js';
import { BantamError } from '../errors.js';
import { modelFlops, normalizePixels, type Clip } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import {
  budgetProgress,
  schedulePosition,
  secondsLeft,
  type Budget,
  type Spent,
} from './budget.js';
import type { Checkpoint, CheckpointState } from './checkpoint.js';
import type { TrainConfig } from './config.js';
import type { MetricsRow } from './metrics.js';
import type { Strategy } from './strategy.js';

/** Where a {@link Trainer} gets its batches: a {@link Loader}, or what gives ready ones. */
export type BatchStream = Pick<Loader, 'batches' | 'waitSeconds'>;

/** Everything that a {@link Trainer} works on; `createTrainer()` puts it together. */
export interface TrainerParts {
  config: TrainConfig;
  strategy: Strategy;
  model: Clip;
  tokenizer: Tokenizer;
  loader: BatchStream;
  optimizer: AdamW;
  ema: Ema | null;
  streams: RandomStreams;
  budget: Budget;
  precision: FloatDType;
  device?: Device;
}

/** What one step reports. */
export interface StepReport extends MetricsRow {
  progress: number;
  etaSeconds: number;
}

/** Upper bound of the learned log temperature: the scale stays at most 100 (CLIP, section 2.4). */
const maxLogitScale = Math.log(100);

/** The parts of a checkpoint that hold tensors. */
export const checkpointParts = (ema: boolean): string[] =>
  ema ? ['model', 'optimizer', 'ema'] : ['model', 'optimizer'];

/**
 * The training loop: batches → losses → gradients → optimizer, until the budget is used.
 *
 * It is a generator, so that whoever drives it decides what happens between steps (metrics,
 * checkpoints, interruption), and the event loop lives there.
 */
export class Trainer {
  readonly #parts: TrainerParts;
  readonly #device: Device;
  #spent: Spent = { seconds: 0, samples: 0, flops: 0 };
  #step = 0;
  #next = { epoch: 0, position: 0 };
  #loss = NaN;

  constructor(parts: TrainerParts) {
    this.#parts = parts;
    this.#device = parts.device ?? 'cpu';
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
    const { budget, config, loader, optimizer } = this.#parts;
    let batches: Batch[] = [];
    let clock = performance.now();
    let waited = loader.waitSeconds;
    if (budgetProgress(budget, this.#spent) >= 1) return;
    for await (const batch of loader.batches(this.#next)) {
      batches.push(batch);
      if (batches.length < config.train.accumulate) continue;
      const lr = this.#learningRate();
      const { loss, gradNorm } = this.#optimize(batches, lr);
      optimizer.zeroGrad();

      const samples = batches.reduce((sum, { size }) => sum + size, 0);
      const now = performance.now();
      const seconds = (now - clock) / 1000;
      clock = now;
      const wait = loader.waitSeconds - waited;
      waited = loader.waitSeconds;
      this.#step += 1;
      this.#spent.seconds += seconds;
      this.#spent.samples += samples;
      this.#next = batch.next;
      this.#loss = Number.isNaN(this.#loss) ? loss : 0.9 * this.#loss + 0.1 * loss;
      batches = [];
      yield {
        step: this.#step,
        samples: this.#spent.samples,
        epoch: batch.epoch,
        loss,
        lr,
        logitScale: Math.exp(this.#parts.model.logitScale.item()),
        gradNorm,
        samplesPerSecond: samples / seconds,
        dataWait: Math.min(1, wait / seconds),
        seconds: this.#spent.seconds,
        progress: budgetProgress(budget, this.#spent),
        etaSeconds: secondsLeft(budget, this.#spent) ?? 0,
      };
      if (budgetProgress(budget, this.#spent) >= 1) return;
      // Native work is synchronous: timers, signals and the loader's messages get their turn here.
      await setImmediate();
    }
  }

  /** The state to write, its tensors not copied. */
  checkpoint(): Checkpoint {
    const { model, optimizer, ema, streams } = this.#parts;
    const states = Object.entries(streams.state());
    const state: CheckpointState = {
      step: this.#step,
      spent: { ...this.#spent },
      ...this.#next,
      streams: Object.fromEntries(
        states.map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
      ),
      loss: this.#loss,
    };
    const tensors = { model: model.stateDict(), optimizer: optimizer.state() };
    return { state, tensors: ema === null ? tensors : { ...tensors, ema: ema.state() } };
  }

  /** Takes back what {@link checkpoint} gave. */
  restore({ state, tensors }: Checkpoint): void {
    const { model, optimizer, ema, streams } = this.#parts;
    const part = (name: string): ReadonlyMap<string, Tensor> => {
      const found = tensors[name];
      if (found === undefined) throw new RangeError(`The checkpoint has no part '${name}'.`);
      return found;
    };
    model.loadStateDict(part('model'));
    optimizer.loadState(part('optimizer'));
    ema?.loadState(part('ema'));
    streams.setState(
      Object.fromEntries(
        Object.entries(state.streams).map(([name, text]) => [name, Buffer.from(text, 'base64')]),
      ),
    );
    this.#step = state.step;
    this.#spent = { ...state.spent };
    this.#next = { epoch: state.epoch, position: state.position };
    this.#loss = state.loss;
  }

  /** The learning rate of the coming step. */
  #learningRate(): number {
    const { budget, config } = this.#parts;
    const { train } = config;
    const { step, total } = schedulePosition(
      budget,
      this.#spent,
      train.batchSize * train.accumulate,
    );
    const factor = schedule({
      kind: train.schedule,
      total,
      warmup: train.warmup * total,
      cooldown: train.cooldown * total,
    });
    return train.lr * factor(step);
  }

  /** Gradients of the mean loss over the batches, then one step of the optimizer. */
  #optimize(batches: readonly Batch[], lr: number): { loss: number; gradNorm: number } {
    const { config, ema, model, optimizer } = this.#parts;
    return scope(() => {
      const losses = batches.map((batch) => this.#backward(batch, 1 / batches.length));
      const loss = losses.reduce((sum, value) => sum + value, 0);
      const limit = config.train.clipNorm;
      const gradNorm = clipGradNorm(model.parameters(), limit === 0 ? Infinity : limit);
      if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
        throw new NonFiniteError(this.#step + 1, loss, batches);
      }
      optimizer.step({ lr });
      noGrad(() => clamp_(model.logitScale, { min: 0, max: maxLogitScale }));
      ema?.update({ decay: emaDecay(this.#step, config.train.ema) });
      return { loss, gradNorm };
    });
  }

  /** Adds one batch's gradients, times `weight`; returns its loss, times `weight`. */
  #backward(batch: Batch, weight: number): number {
    const { config, model, precision, strategy, streams, tokenizer } = this.#parts;
    return scope(() => {
      const { ids, shape } = tokenizer.encodeBatch(batch.captions);
      const stepBatch = {
        images: Object.fromEntries(
          Object.entries(batch.images).map(([view, pixels]) => [
            view,
            this.#pixels(pixels, batch, config),
          ]),
        ),
        ids: to(fromTypedArray(ids, { shape }), { device: this.#device }),
      };
      const features = autocast(precision, () => strategy.encode(stepBatch, { model, streams }));
      const parts = Object.values(strategy.losses(features, model));
      const [first, ...rest] = parts;
      if (first === undefined) throw new RangeError(`Strategy ${strategy.name} has no loss.`);
      const loss = rest.reduce((sum, part) => add(sum, part), first);
      const weighted = weight === 1 ? loss : mul(loss, weight);
      weighted.backward();
      const flops = modelFlops(config.model, { captionTokens: shape[1], training: true });
      // A backward pass costs about twice its forward pass.
      this.#spent.flops += 3 * batch.size * (flops.image + flops.text);
      return weighted.item();
    });
  }

  #pixels(pixels: Uint8Array, { size, height, width }: Batch, config: TrainConfig): Tensor {
    // The loader's memory is reused after this step, and normalising copies it before.
    const raw = fromTypedArray(pixels, { shape: [size, height, width, 3], copy: false });
    return normalizePixels(to(raw, { device: this.#device }), config.preprocess);
  }
}

/** The loss or the gradient is no number any more. */
export class NonFiniteError extends BantamError {
  override readonly name = 'NonFiniteError';
  /** Keys of the samples of the step. */
  readonly keys: readonly string[];

  constructor(step: number, loss: number, batches: readonly Batch[]) {
    super(
      `Training met a loss or gradient that is not finite in step ${step} (loss ${loss}); its samples are listed in non-finite.json: check them, or lower train.lr.`,
    );
    this.keys = batches.flatMap((batch) => batch.keys);
  }
}
