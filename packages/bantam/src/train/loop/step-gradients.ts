/** The gradients of one step of the optimizer, computed here or shared by several processes. */
import type { FloatDType, GradScaler, RandomStreams } from '@bantam/torch';
import { at } from '../../base/at.js';
import type { Batch } from '../../data/index.js';
import type { Clip, TrainedCosts } from '../../models/index.js';
import type { Phase } from '../strategies/phases.js';
import type { Losses, StepContext } from '../strategies/strategy.js';
import type { World } from '../world/world.js';
import type { TrainingContext } from './context.js';
import { addGradients, BufferSnapshot } from './gradients.js';
import { flopsPerSample, samplesOf, type Collator } from './micro-batch.js';
import { addSharedGradients } from './shared-gradients.js';
import { wholeBatches, type Quarantined } from './whole-batch.js';

/** Parts of {@link StepGradients}. */
export interface StepGradientsParts {
  readonly context: Pick<TrainingContext, 'config' | 'strategy'>;
  readonly model: Clip;
  readonly streams: RandomStreams;
  readonly collator: Collator;
  readonly precision: FloatDType;
  /** For float16. */
  readonly scaler: GradScaler | null;
  readonly world: World | null;
  readonly quarantine: Quarantined | undefined;
}

/** A step whose gradients are wanted. */
export interface StepToCompute {
  /** Its micro-batches, of every accumulated batch; this process's rows of them. */
  readonly batches: readonly Batch[];
  readonly phase: Phase;
  /** Costs of the weights that learn in the phase. */
  readonly costs: TrainedCosts | undefined;
  /** Number of the step. */
  readonly step: number;
  /** Fraction of the budget used before it. */
  readonly progress: number;
  /** Samples seen before it. */
  readonly seen: number;
}

/** The step after its gradients. */
export interface ComputedStep {
  /** Of each accumulated batch, scalars on the device. */
  readonly losses: readonly Losses[];
  /** The buffers before the forward pass. */
  readonly buffers: BufferSnapshot;
  /** Samples of all processes, their keys, and the FLOPs of their passes. */
  readonly samples: number;
  readonly keys: readonly string[];
  readonly flops: number;
  /** In place of the optimizer's step: gradients, buffers and random streams are what they were before. */
  readonly undo: () => void;
}

/** Computes gradients of contrastive batches, with those of the other processes if there are any. */
export class StepGradients {
  readonly #parts: StepGradientsParts;

  constructor(parts: StepGradientsParts) {
    this.#parts = parts;
  }

  /**
   * Adds the gradients of `accumulate` contrastive batches, whose losses are averaged, to the parameters.
   * If that fails, as the processes have lost each other, everything is what it was before.
   */
  async add(wanted: StepToCompute): Promise<ComputedStep> {
    const { model, streams, context, world } = this.#parts;
    const { module } = context.strategy;
    const buffers = new BufferSnapshot([model, ...(module === null ? [] : [module])]);
    const state = streams.state();
    const undo = (): void => {
      streams.setState(state);
      buffers.restore();
      buffers[Symbol.dispose]();
      for (const parameter of this.#parameters) parameter.grad = null;
    };
    try {
      return { ...(await this.#add(wanted)), buffers, undo };
    } catch (error) {
      undo();
      throw world === null ? error : await world.explain(error);
    }
  }

  get #parameters() {
    const { model, context } = this.#parts;
    const own = context.strategy.module?.parameters() ?? [];
    return [...model.parameters(), ...own].filter(({ requiresGrad }) => requiresGrad);
  }

  async #add(wanted: StepToCompute): Promise<Omit<ComputedStep, 'buffers' | 'undo'>> {
    const { context, collator, world, quarantine } = this.#parts;
    const { config, strategy } = context;
    const { batches, phase, costs: trained, seen } = wanted;
    const { accumulate } = config.train;
    const collated = batches.map((batch) => collator.collate(batch, phase));
    const tokens = collated.map(({ captionTokens }) => captionTokens);
    const whole = await wholeBatches(batches, tokens, { world, quarantine, seen });
    const perBatch = batches.length / accumulate;
    const losses: Losses[] = [];
    for (let i = 0; i < accumulate; i++) {
      const [first, end] = [i * perBatch, (i + 1) * perBatch];
      const contrasted = whole.slice(first, end);
      const microBatches = collated.slice(first, end).map((microBatch, j) => {
        const { captionTokens, size: all } = at(contrasted, j);
        const { size } = microBatch;
        return { size, whole: all, load: () => microBatch.load(captionTokens) };
      });
      const step: StepContext = { ...this.#stepOf(wanted), samples: samplesOf(contrasted) };
      losses.push(await this.#addBatch(microBatches, { step, isLast: i === accumulate - 1 }));
    }
    if (world !== null) await world.sumGradients(this.#parameters);
    const flops = whole.map(({ size, captionTokens }) => {
      return size * flopsPerSample(strategy, config, { captionTokens, phase, trained });
    });
    return {
      losses,
      samples: whole.reduce((sum, { size }) => sum + size, 0),
      keys: whole.flatMap(({ keys }) => keys),
      flops: flops.reduce((sum, one) => sum + one, 0),
    };
  }

  #stepOf({ phase, step, progress }: StepToCompute): Omit<StepContext, 'samples'> {
    const { model, streams, precision } = this.#parts;
    return { model, streams, phase, step, progress, precision };
  }

  async #addBatch(
    microBatches: Parameters<typeof addSharedGradients>[0],
    { step, isLast }: { readonly step: StepContext; readonly isLast: boolean },
  ): Promise<Losses> {
    const { context, scaler, world } = this.#parts;
    const { strategy, config } = context;
    const { accumulate, gradCheckpointing } = config.train;
    const options = { strategy, step, weight: 1 / accumulate, gradCheckpointing, scaler };
    if (world === null) return addGradients(microBatches, options);
    return await addSharedGradients(microBatches, {
      ...options,
      world,
      parameters: this.#parameters,
      isLast,
    });
  }
}
