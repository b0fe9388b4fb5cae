import {
  add,
  autocast,
  clone,
  detach,
  noGrad,
  RandomStreams,
  scope,
  traceAllocations,
  type AllocationTrace,
  type Module,
} from '@bantam/torch';
import type { TrainConfig, TrainSettings } from '../config/config.js';
import { createTrainer, type TrainerSetup } from '../loop/create-trainer.js';
import { onePhase } from '../strategies/phases.js';
import { PieceMaker, samplesOf } from '../loop/micro-batch.js';
import { resolvePrecision } from '../../base/precision.js';
import { standIn, type PlanOptions, type StandIn } from './dummy-data.js';

/** What does not depend on the batch, in bytes. */
export interface KeptBytes {
  readonly parameters: number;
  /** Of the parameters that learn. */
  readonly gradients: number;
  readonly optimizer: number;
  /** The moving average of the weights. */
  readonly average: number;
}

/** The memory of a small training on noise. */
export interface Rehearsal {
  /** Of making the trainer. */
  readonly making: AllocationTrace;
  /** Of encoding as many pictures as the batch has before the first step; nothing where none are. */
  readonly preparing: AllocationTrace;
  /** Of taking two steps. */
  readonly steps: AllocationTrace;
  /** Of the losses alone and the gradients of the features, as a batch in pieces computes them. */
  readonly losses: AllocationTrace;
  /** Bytes of the features of one sample. */
  readonly featureBytes: number;
  readonly kept: KeptBytes;
}

/**
 * Takes two real steps on noise: the first makes the optimizer's state, the second meets it. Model,
 * strategy, precision, optimizer and what is frozen are the configuration's.
 *
 * @param at - Which phase of the strategy, and the samples of a batch
 */
export async function rehearse(
  config: TrainConfig,
  options: PlanOptions,
  at: { place: number; size: number },
): Promise<Rehearsal> {
  const { size } = at;
  const parts = standIn(config, options, at);
  // Of several batches or pieces, the second meets the gradients of the first.
  const accumulate = addsUp(config.train) ? 2 : 1;
  const train = { ...config.train, batchSize: size, microBatch: 0, accumulate };
  const small = { ...config, train, budget: '1e15samples' };
  const made: TrainerSetup[] = [];
  try {
    const making = await traceAllocations(() => {
      made.push(createTrainer(small, parts));
    });
    const [setup] = made;
    if (setup === undefined) throw new RangeError('There is no trainer.');
    const preparing = await traceAllocations(() => parts.prepare(setup.model, size));
    const steps = await traceAllocations(async () => {
      const running = setup.trainer.run();
      await running.next();
      await running.next();
      await running.return();
    });
    const { losses, featureBytes } = await rehearseLosses(config, parts, setup);
    const kept = keptBytes(setup, parts.strategy.module);
    return { making, preparing, steps, losses, featureBytes: featureBytes / size, kept };
  } finally {
    for (const setup of made) setup[Symbol.dispose]();
  }
}

/** The losses alone of features that are there, and their gradients; and the bytes of the features. */
async function rehearseLosses(
  config: TrainConfig,
  { strategy, batch, tokenizer }: StandIn,
  { model }: TrainerSetup,
): Promise<{ losses: AllocationTrace; featureBytes: number }> {
  const [phase = onePhase] = strategy.phases;
  const precision = resolvePrecision(config.train.precision);
  const streams = new RandomStreams({ seed: config.seed });
  const piece = new PieceMaker({ config, tokenizer, device: 'cpu' }).make(batch, phase);
  const context = { model, samples: samplesOf([batch]), progress: 0, precision, step: 1 };
  const features = Object.entries(
    scope(() =>
      noGrad(() =>
        autocast(precision, () => {
          const [loaded, encoding] = [piece.load(), { model, streams, phase }];
          return {
            ...strategy.encode(loaded, encoding),
            ...strategy.targets?.(loaded, encoding),
          };
        }),
      ),
    ),
  );
  const losses = await traceAllocations(() => {
    scope(() => {
      const leaves = features.map(([name, feature]) => {
        const leaf = detach(clone(feature));
        leaf.requiresGrad = true;
        return [name, leaf] as const;
      });
      const [first, ...others] = Object.values(
        strategy.losses(Object.fromEntries(leaves), context),
      );
      if (first !== undefined) others.reduce(add, first).backward();
      model.zeroGrad();
      strategy.module?.zeroGrad();
    });
  });
  const featureBytes = features.reduce((sum, [, feature]) => sum + 4 * feature.size, 0);
  for (const [, feature] of features) feature.dispose();
  return { losses, featureBytes };
}

function keptBytes({ model, ema, trainer }: TrainerSetup, module: Module | null): KeptBytes {
  const modules = module === null ? [model] : [model, module];
  const learning = modules.flatMap((one) =>
    one.parameters().filter(({ requiresGrad }) => requiresGrad),
  );
  const { optimizer = new Map() } = trainer.checkpoint().tensors;
  return {
    parameters: modules.reduce((sum, one) => sum + bytesOf(one.stateDict().values()), 0),
    gradients: bytesOf(learning),
    optimizer: bytesOf(optimizer.values()),
    average: ema === null ? 0 : bytesOf(ema.state().values()),
  };
}

/** Whether gradients of several batches or pieces are added up before a step of the optimizer. */
export function addsUp({ batchSize, microBatch, accumulate }: TrainSettings): boolean {
  return accumulate > 1 || (microBatch > 0 && microBatch < batchSize);
}

/** Bytes of tensors in float32. */
export function bytesOf(tensors: Iterable<{ size: number }>): number {
  return [...tensors].reduce((sum, { size }) => sum + 4 * size, 0);
}
