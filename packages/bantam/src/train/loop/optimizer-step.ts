/** The step of the optimizer after the gradients: clipping, the decision whether to take it, what follows. */
import {
  add,
  clamp_,
  clipGradNorm,
  clipGradNormOnDevice,
  emaDecay,
  full,
  isAccelerator,
  isFinite as finiteElements,
  neg,
  noGrad,
  scope,
  stack,
  to,
  zeros,
  type Device,
  type Ema,
  type GradScaler,
  type Optimizer,
  type Tensor,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import type { Clip } from '../../models/index.js';
import type { TrainSettings } from '../config/settings.js';
import type { Losses, Strategy } from '../strategies/strategy.js';
import type { OptimizerShards } from '../world/optimizer-shards.js';
import type { World } from '../world/world.js';
import type { BufferSnapshot } from './gradients.js';

/** Upper bound of the learned log temperature: the scale stays at most 100 (CLIP, section 2.4). */
const maxLogitScale = Math.log(100);

/** Numbers of a step. */
export interface StepValues {
  /** The losses by name, of each accumulated batch. */
  readonly losses: readonly Readonly<Record<string, number>>[];
  readonly gradNorm: number;
  /** exp of the log temperature after the step. */
  readonly logitScale: number;
  /** True if the optimizer took the step. */
  readonly taken: boolean;
  /** Scale of the loss in float16; 1 without any. */
  readonly lossScale: number;
}

/** Parts of an {@link OptimizerStep}. */
export interface OptimizerStepParts {
  readonly model: Clip;
  readonly strategy: Strategy;
  readonly optimizer: Optimizer;
  readonly ema: Ema | null;
  /** For float16. */
  readonly scaler: GradScaler | null;
  readonly train: Pick<TrainSettings, 'clipNorm' | 'ema'>;
  readonly device: Device;
  /** The processes that take the same step; null: this one alone. */
  readonly world: Pick<World, 'every'> | null;
  /** The division of the optimizer's state among them; null: each has all of it. */
  readonly shards: Pick<OptimizerShards, 'keepOwn' | 'share'> | null;
}

/** One step to take. */
export interface StepToTake {
  /** Of each accumulated batch, scalars on the device; freed by the step. */
  readonly losses: readonly Losses[];
  readonly lr: number;
  /** Steps that the optimizer took before. */
  readonly step: number;
  /** The buffers before the forward pass; freed by the step. */
  readonly buffers: BufferSnapshot;
  /** Runs in place of the step if the processes lose each other before it. */
  readonly undo: () => void;
}

/**
 * Takes steps of the optimizer. If the loss or the gradient is not finite no step is taken, and nothing has
 * changed. On a GPU the device decides that itself if optimizer and strategy allow it
 * ({@link isDeferred}), so that no step waits for the one before.
 */
export class OptimizerStep {
  readonly #parts: OptimizerStepParts;
  /** True if a step's numbers need not be read before the next step begins. */
  readonly isDeferred: boolean;

  constructor(parts: OptimizerStepParts) {
    this.#parts = parts;
    const { device, optimizer, strategy } = parts;
    this.isDeferred =
      isAccelerator(device) && optimizer.skipsOnDevice && strategy.afterSkip === undefined;
  }

  /** Takes the step, or leaves it out; its numbers come when the device has done it. */
  take(step: StepToTake): Promise<StepValues> {
    return this.isDeferred ? this.#takeOnDevice(step) : this.#decideAndTake(step);
  }

  get #parameters(): Tensor[] {
    const { groups } = this.#parts.optimizer;
    return groups.flatMap(({ parameters }) => [...parameters.values()]);
  }

  get #maxNorm(): number {
    const { clipNorm } = this.#parts.train;
    return clipNorm === 0 ? Infinity : clipNorm;
  }

  /** Divides the gradients by the scale of the loss. */
  #unscale(): void {
    const gradients = this.#parameters.flatMap(({ grad }) => (grad === null ? [] : [grad]));
    this.#parts.scaler?.unscale(gradients);
  }

  /** Everything at once: the device leaves out what a step without finite numbers would change. */
  async #takeOnDevice({ losses, lr, step, buffers }: StepToTake): Promise<StepValues> {
    const { model, strategy, optimizer, ema, scaler, train } = this.#parts;
    const { reading } = scope(() => {
      this.#unscale();
      const norm = clipGradNormOnDevice(this.#parameters, this.#maxNorm);
      return noGrad(() => {
        const all = scalarsOf(losses);
        const sum = [...all, norm].reduce(add);
        const foundInf = add(neg(to(finiteElements(sum), { dtype: 'float32' })), 1);
        optimizer.step({ lr, foundInf });
        limitTemperature(model);
        strategy.afterStep?.();
        ema?.update({ decay: emaDecay(step, train.ema), foundInf });
        buffers.restoreIf(foundInf);
        buffers[Symbol.dispose]();
        optimizer.zeroGrad();
        const logScale = to(model.logitScale, { dtype: 'float32' });
        const values = stack([...all, norm, logScale, foundInf, this.#lossScale()]);
        scaler?.update(foundInf);
        free(losses);
        return { reading: values.read() };
      });
    });
    const numbers = Array.from(await reading, Number);
    const [gradNorm = NaN, logScale = NaN, skipped = NaN, lossScale = NaN] = numbers.slice(-4);
    return {
      losses: named(losses, numbers),
      gradNorm,
      logitScale: Math.exp(logScale),
      taken: skipped === 0,
      lossScale,
    };
  }

  /** Reads the loss and the norm of the gradient, then decides. */
  async #decideAndTake({ losses, lr, step, buffers, undo }: StepToTake): Promise<StepValues> {
    const { model, strategy, optimizer, ema, scaler, train, device, world, shards } = this.#parts;
    const { measured } = scope(() => {
      this.#unscale();
      if (isAccelerator(device)) {
        const norm = clipGradNormOnDevice(this.#parameters, this.#maxNorm);
        return { measured: stack([...scalarsOf(losses), norm, this.#lossScale()]).read() };
      }
      const norm = clipGradNorm(this.#parameters, this.#maxNorm);
      const values = losses.flatMap((one) => Object.values(one).map((loss) => loss.item()));
      return { measured: [...values, norm, this.#lossScale().item()] };
    });
    free(losses);
    const numbers = Array.from(await measured, Number);
    const [gradNorm = NaN, lossScale = NaN] = numbers.slice(-2);
    const isFinite = numbers.every(Number.isFinite);
    const taken = world === null ? isFinite : await this.#agreed(world, { isFinite, undo });
    if (taken) {
      shards?.keepOwn();
      optimizer.step({ lr });
      await shards?.share();
    }
    scope(() => {
      if (taken) {
        noGrad(() => {
          limitTemperature(model);
          strategy.afterStep?.();
        });
        ema?.update({ decay: emaDecay(step, train.ema) });
      } else {
        buffers.restore();
        strategy.afterSkip?.();
      }
      buffers[Symbol.dispose]();
      scaler?.update(full([], taken ? 0 : 1, { device }));
      optimizer.zeroGrad();
    });
    const [logScale = NaN] = await model.logitScale.read();
    return {
      losses: named(losses, numbers),
      gradNorm,
      logitScale: Math.exp(Number(logScale)),
      taken,
      lossScale,
    };
  }

  /** True if all processes may take the step. */
  async #agreed(
    world: Pick<World, 'every'>,
    { isFinite, undo }: { readonly isFinite: boolean; readonly undo: () => void },
  ): Promise<boolean> {
    try {
      return await world.every(isFinite);
    } catch (error) {
      undo();
      throw error;
    }
  }

  #lossScale(): Tensor {
    const { scaler, device } = this.#parts;
    return scaler?.current ?? add(zeros([], { device }), 1);
  }
}

/** Keeps a temperature that learns within CLIP's bound. */
function limitTemperature({ logitScale }: Clip): void {
  if (logitScale.requiresGrad) clamp_(logitScale, { min: 0, max: maxLogitScale });
}

function free(losses: readonly Losses[]): void {
  for (const one of losses) for (const loss of Object.values(one)) loss.dispose();
}

/** The losses of all batches in order, float32. */
function scalarsOf(losses: readonly Losses[]): Tensor[] {
  return losses.flatMap((one) => Object.values(one).map((loss) => to(loss, { dtype: 'float32' })));
}

/** The numbers in the order of {@link scalarsOf} under their names. */
function named(
  losses: readonly Losses[],
  numbers: readonly number[],
): Readonly<Record<string, number>>[] {
  let next = 0;
  return losses.map((one) =>
    Object.fromEntries(Object.keys(one).map((name) => [name, at(numbers, next++)])),
  );
}
