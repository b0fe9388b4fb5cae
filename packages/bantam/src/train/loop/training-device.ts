import { resolveDevice, unusableGpus, type Device } from '@bantam/torch';
import type { TrainEvent } from '../monitor/events.js';

/**
 * The device of a training, from its name; `auto` by default. A note says so if `auto` is the CPU although
 * there is a GPU.
 *
 * @throws TorchError if there is no such device.
 */
export function trainingDevice({
  device: name = 'auto',
  onEvent,
}: {
  readonly device?: string;
  readonly onEvent?: (event: TrainEvent) => void;
}): Device {
  const device = resolveDevice(name);
  const unusable = name === 'auto' && device === 'cpu' ? unusableGpus() : null;
  if (unusable !== null) {
    const { what, remedy } = unusable;
    onEvent?.({ kind: 'note', message: `${what}; ${remedy}. The training runs on the CPU.` });
  }
  return device;
}
