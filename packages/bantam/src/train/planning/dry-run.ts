import {
  add,
  autocast,
  clone,
  detach,
  noGrad,
  RandomStreams,
  scope,
  isAccelerator,
  traceAllocations,
  traceDeviceAllocations,
  type AllocationTrace,
  type Device,
  type DType,
  type Module,
} from '@bantam/torch';
import { at } from '../../base/at.js';
import { resolvePrecision, weightType } from '../../base/precision.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainSettings } from '../config/settings.js';
import { Collator, samplesOf } from '../loop/micro-batch.js';
import { Trainer } from '../loop/trainer.js';
import type { StepContext } from '../strategies/strategy.js';
import { dummyTraining, type DummyTraining, type PlanContext } from './dummy-data.js';

/** Memory that does not depend on the batch, in bytes. */
export interface KeptBytes {
  readonly parameters: number;
  /** Of the trained parameters. */
  readonly gradients: number;
  readonly optimizer: number;
  /** The moving average of the weights. */
  readonly average: number;
}

/** Memory of a small training on noise. */
export interface DryRun {
  /** Allocations of creating the trainer. */
  readonly making: AllocationTrace;
  /** Allocations of encoding a batch's images before the first step; empty if the strategy does not. */
  readonly preparing: AllocationTrace;
  /** Allocations of two steps. */
  readonly steps: AllocationTrace;
  /** Allocations of the losses and the features' gradients, as a gradient cache computes them. */
  readonly losses: AllocationTrace;
  /** Bytes of the features of one sample. */
  readonly featureBytes: number;
  readonly kept: KeptBytes;
}

/**
 * Takes two real steps on noise: the first creates the optimizer's state, the second meets it. Model,
 * strategy, precision, optimizer and frozen parameters are the configuration's.
 *
 * @param shape - Index of the strategy's phase, and the samples of a batch
 */
export async function dryRun(
  config: TrainConfig,
  context: PlanContext,
  shape: { phaseIndex: number; size: number },
): Promise<DryRun> {
  const { size } = shape;
  // Of several batches or micro-batches, the second meets the gradients of the first.
  const accumulate = addsUp(config.train) ? 2 : 1;
  const train = { ...config.train, batchSize: size, microBatch: 0, accumulate };
  const small = { ...config, train, budget: '1e15samples' };
  using dummy = dummyTraining(small, context, shape);
  const created: Trainer[] = [];
  const { device } = dummy;
  const making = await trace(device, () => {
    created.push(new Trainer(dummy, dummy.batches));
  });
  const [first] = created;
  if (first === undefined) throw new RangeError('There is no trainer.');
  using trainer = first;
  const preparing = await trace(device, () => dummy.prepare(trainer.model, size));
  const steps = await trace(device, async () => {
    const running = trainer.run();
    await running.next();
    await running.next();
    await trainer.drain();
    await running.return();
  });
  const { losses, featureBytes } = await traceLosses(dummy, trainer);
  const kept = keptBytes(trainer, dummy.strategy.module);
  return { making, preparing, steps, losses, featureBytes: featureBytes / size, kept };
}

/** Memory of the device that work takes. */
function trace(device: Device, run: () => void | Promise<void>): Promise<AllocationTrace> {
  return isAccelerator(device) ? traceDeviceAllocations(device, run) : traceAllocations(run);
}

/** The losses and the gradients of given features, and the bytes of the features. */
async function traceLosses(
  dummy: DummyTraining,
  { model }: Trainer,
): Promise<{ losses: AllocationTrace; featureBytes: number }> {
  const { config, strategy, batch } = dummy;
  const phase = at(strategy.phases, 0);
  const { device } = dummy;
  const microBatch = new Collator(dummy, device, weightType(config.train.precision)).collate(
    batch,
    phase,
  );
  const step: StepContext = {
    model,
    streams: new RandomStreams({ seed: config.seed }),
    phase,
    samples: samplesOf([batch]),
    step: 1,
    progress: 0,
    precision: resolvePrecision(config.train.precision, device),
  };
  const features = Object.entries(
    scope(() =>
      noGrad(() =>
        autocast(
          step.precision,
          () => {
            const loaded = microBatch.load();
            return { ...strategy.encode(loaded, step), ...strategy.targets?.(loaded, step) };
          },
          { device },
        ),
      ),
    ),
  );
  const losses = await trace(device, () => {
    scope(() => {
      const leaves = features.map(([name, feature]) => {
        const leaf = detach(clone(feature));
        leaf.requiresGrad = true;
        return [name, leaf] as const;
      });
      const [first, ...others] = Object.values(strategy.losses(Object.fromEntries(leaves), step));
      if (first !== undefined) others.reduce(add, first).backward();
      model.zeroGrad();
      strategy.module?.zeroGrad();
    });
  });
  const featureBytes = bytesOf(features.map(([, feature]) => feature));
  for (const [, feature] of features) feature.dispose();
  return { losses, featureBytes };
}

function keptBytes(trainer: Trainer, module: Module | null): KeptBytes {
  const { model, ema } = trainer;
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

/** True if gradients of several batches or micro-batches are added up before a step of the optimizer. */
export function addsUp({ batchSize, microBatch, accumulate }: TrainSettings): boolean {
  return accumulate > 1 || (microBatch > 0 && microBatch < batchSize);
}

/** Bytes of tensors in float64, or else in float32. */
export function bytesOf(tensors: Iterable<{ size: number; dtype: DType }>): number {
  return [...tensors].reduce(
    (sum, { size, dtype }) => sum + (dtype === 'float64' ? 8 : 4) * size,
    0,
  );
}
