/** Work of all processes around the steps of a training, and the part of those that do not lead. */
import { GroupError } from '@bantam/torch/distributed';
import { BantamError } from '../../base/errors.js';
import { resolvePrecision } from '../../base/precision.js';
import type { Loader } from '../../data/index.js';
import type { TrainResult } from '../monitor/events.js';
import { readCheckpoint, type Checkpoint } from '../run-dir/checkpoint.js';
import type { World } from '../world/world.js';
import type { TrainingContext } from './context.js';
import { preparedAtOnce } from './micro-batch.js';
import { checkpointParts, type Trainer } from './trainer.js';

/** Parts of a run beside its context. */
export interface RunParts {
  readonly run: string;
  readonly loader: Loader;
  readonly trainer: Trainer;
}

/**
 * What all processes do after work of rank 0: take a step, take no more, send rank 0 their parts of the
 * optimizer's state and wait again, or end.
 */
export type Orders =
  | {
      readonly next: 'step' | 'stop' | 'gather';
      /** The checkpoint whose weights are to be restored before; null: none. */
      readonly restored: string | null;
    }
  | { readonly next: 'end'; readonly result: TrainResult };

/** Work of one process, for which the others wait; its result comes to all of them. */
export function alone<T>(world: World | null, work: () => Promise<T>): Promise<T> {
  return world === null ? work() : world.first(work);
}

/** Opens a checkpoint for a callback. */
export function withCheckpoint(
  { strategy }: TrainingContext,
  { trainer, path }: { readonly trainer: Trainer; readonly path: string },
  use: (checkpoint: Checkpoint) => void,
): void {
  const checkpoint = readCheckpoint(path, checkpointParts({ ema: trainer.ema, strategy }));
  use(checkpoint);
  for (const part of Object.values(checkpoint.tensors)) {
    for (const tensor of part.values()) tensor.dispose();
  }
}

/** Restores the weights of a checkpoint. */
export function restoreWeights(
  context: TrainingContext,
  from: { readonly trainer: Trainer; readonly path: string },
): void {
  withCheckpoint(context, from, ({ tensors }) => {
    from.trainer.restoreWeights(tensors);
  });
}

/** The strategy's work before the first step; afterwards all processes have the weights of rank 0. */
export async function prepareTraining(
  context: TrainingContext,
  { loader, trainer }: Omit<RunParts, 'run'>,
): Promise<void> {
  const { config, source, strategy, signal, emit, world, device } = context;
  await strategy.prepare?.({
    model: trainer.model,
    source,
    preprocess: config.preprocess,
    precision: resolvePrecision(config.train.precision, device),
    batchSize: preparedAtOnce(config.train),
    quarantine: loader.quarantine,
    exclude: (indices) => {
      loader.exclude(indices);
    },
    signal,
    onProgress: (message) => {
      emit({ kind: 'preparing', message });
    },
  });
  if (world === null) return;
  const own = strategy.module?.stateDict().values() ?? [];
  await world.broadcast([...trainer.model.stateDict().values(), ...own]);
}

/** Trains as rank 0 orders, from the same checkpoint; writes nothing. */
export async function follow(
  context: TrainingContext,
  { run, loader, trainer }: RunParts,
): Promise<TrainResult> {
  const { world, checkpoint } = context;
  if (world === null) throw new RangeError('One process alone has nobody to follow.');
  try {
    if (checkpoint !== null) {
      withCheckpoint(context, { trainer, path: checkpoint }, (read) => {
        trainer.restore(read);
      });
    }
    await prepareTraining(context, { loader, trainer });
    const steps = trainer.run();
    for (;;) {
      const orders = await world.first<Orders>(nothing);
      if (orders.next === 'end') return orders.result;
      const { next, restored } = orders;
      if (restored !== null) restoreWeights(context, { trainer, path: restored });
      if (next === 'gather') await trainer.gatherOptimizer();
      else if (next === 'stop' || (await steps.next()).done === true) await steps.return();
    }
  } catch (error) {
    throw error instanceof GroupError ? unsaved(error, run) : error;
  }
}

/** The error of a run that has lost processes, and that is as its last checkpoint has it. */
export function unsaved(error: GroupError, run: string): BantamError {
  return new BantamError(
    `${error.message} Resume the run from its last checkpoint with "bantam train --resume ${run}".`,
    { cause: error },
  );
}

/** Rank 0 alone does this work. */
function nothing(): Promise<never> {
  return Promise.reject(new RangeError('Only rank 0 does this.'));
}
