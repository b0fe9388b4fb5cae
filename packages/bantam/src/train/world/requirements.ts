/** Trainings that several processes cannot share. */
import { isAccelerator } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { microBatchSize } from '../loop/micro-batch.js';
import type { TrainingContext } from '../loop/context.js';
import type { World } from './world.js';

/** @throws BantamError for a training that several processes cannot share, by its name. */
export function requireShareable(
  { config, device }: Pick<TrainingContext, 'config' | 'device'>,
  { size }: Pick<World, 'size'>,
): void {
  const { model, train, fineTune } = config;
  if (isAccelerator(device)) {
    throw new BantamError(
      `Several processes train on the CPU alone so far, not on ${device}; add --device cpu, or run one process.`,
    );
  }
  const mixture = (['vision', 'text'] as const).find((tower) => {
    const settings: Readonly<Record<string, unknown>> = { ...model[tower] };
    return settings.moe !== undefined && settings.moe !== null;
  });
  if (mixture !== undefined && fineTune.type === 'lora' && fineTune.dropout > 0) {
    throw new BantamError(
      `The dropout of LoRA (fineTune.dropout=${fineTune.dropout}) cannot be shared by several processes in a model with mixtures of experts ("${mixture}.moe"), as it would depend on which tokens an expert gets; set it to 0, or run one process.`,
    );
  }
  const smallest = microBatchSize(train);
  if (smallest < size) {
    throw new BantamError(
      `A micro-batch of ${smallest} cannot be divided among ${size} processes; run fewer, or raise ${train.microBatch === 0 ? 'train.batchSize' : 'train.microBatch'}.`,
    );
  }
}
