/** Devices: their names, which there are, their memory, and waiting for them. */
import { cudaFacts } from './cuda.js';
import { TorchError } from './errors.js';
import { native } from './native.js';

/**
 * Device of a tensor: `cpu`; `cuda` and `mps`, GPUs; `meta`, on which tensors have shapes but no data;
 * `emulated`, a device in software for tests, which only a checkout of Bantam has. Without an index the
 * first one is meant; a tensor's own {@link Tensor.device} always has it.
 */
export type Device =
  | 'cpu'
  | 'meta'
  | 'cuda'
  | `cuda:${number}`
  | 'mps'
  | `mps:${number}`
  | 'emulated'
  | `emulated:${number}`;

/** Kind of a {@link Device}. */
export type DeviceType = 'cpu' | 'meta' | 'cuda' | 'mps' | 'emulated';

const types: readonly DeviceType[] = ['cpu', 'meta', 'cuda', 'mps', 'emulated'];

/** The kinds that have memory of their own, the fastest first. */
const accelerators = ['cuda', 'mps', 'emulated'] as const;

/** Why a kind of device is not here, and the remedy beside the CPU, if there is one. */
interface Absence {
  readonly what: string;
  readonly remedy?: string;
}

/** Kind of a device, without its index. */
export function deviceType(device: Device): DeviceType {
  const [type] = device.split(':');
  const found = types.find((known) => known === type);
  if (found === undefined) throw unknownDevice(device);
  return found;
}

function unknownDevice(name: string): TorchError {
  return new TorchError(`There is no device '${name}'; choose cpu, cuda, cuda:N or mps.`);
}

/** True for devices with memory of their own that work beside the CPU. */
export function isAccelerator(device: Device): boolean {
  if (device === 'cpu' || device === 'meta') return false;
  return accelerators.some((type) => type === deviceType(device));
}

/**
 * A device from its name.
 *
 * @throws TorchError for a name that is none.
 */
export function parseDevice(name: string): Device {
  if (/^(cpu|meta|(cuda|mps|emulated)(:(0|[1-9]\d*))?)$/.test(name)) return name as Device;
  throw unknownDevice(name);
}

const counts = new Map<DeviceType, number>();

/** Devices that were made usable, by each name that was asked for, with their indices. */
const ready = new Map<Device, Device>();

/** Loads what a kind of device needs; the number of its devices, or why there are none. */
function load(type: (typeof accelerators)[number]): number | Absence {
  const known = counts.get(type);
  if (known !== undefined) return known;
  const what = type === 'cuda' ? cudaFacts().problem : native.loadDevice(type);
  if (typeof what === 'string') return { what };
  if (what !== null) return what;
  const count = native.deviceCount(type);
  counts.set(type, count);
  return count;
}

/**
 * Makes a device usable, and returns it with its index.
 *
 * @throws TorchError if there is no such device, or Bantam was installed without what it needs.
 */
export function prepareDevice(device: Device): Device {
  if (device === 'cpu' || device === 'meta') return device;
  const prepared = ready.get(device);
  if (prepared !== undefined) return prepared;
  const type = deviceType(device);
  if (type === 'cpu' || type === 'meta') throw unknownDevice(device);
  const count = load(type);
  if (typeof count !== 'number') throw absent(device, count);
  if (count === 0) throw absent(device, { what: 'none was found' });
  const [, index = '0'] = device.split(':');
  if (Number(index) >= count) {
    const there = Array.from({ length: count }, (_, i) => `${type}:${i}`);
    throw new TorchError(`There is no device '${device}'; choose ${there.join(' or ')}.`);
  }
  const found: Device = `${type}:${Number(index)}`;
  ready.set(device, found);
  return found;
}

function absent(device: Device, { what, remedy }: Absence): TorchError {
  const others = remedy === undefined ? '' : `, or ${remedy}`;
  return new TorchError(`Device '${device}' cannot be used: ${what}; choose 'cpu'${others}.`);
}

/** The devices of this machine, the CPU first. The emulated one is not among them. */
export function availableDevices(): Device[] {
  const found = (['cuda', 'mps'] as const).flatMap((type) => {
    const count = load(type);
    const length = typeof count === 'number' ? count : 0;
    return Array.from({ length }, (_, i): Device => `${type}:${i}`);
  });
  return ['cpu', ...found];
}

/**
 * A usable device from a name, with its index. `auto` is the first GPU, or the CPU if there is none.
 *
 * @throws TorchError as {@link parseDevice} and {@link prepareDevice} do.
 */
export function resolveDevice(name: string): Device {
  if (name !== 'auto') return prepareDevice(parseDevice(name));
  const [, gpu = 'cpu'] = availableDevices();
  return gpu;
}

/**
 * Waits, while other code runs, until a device has done everything that this thread gave it before.
 * The CPU has done it already.
 */
export async function synchronize(device: Device): Promise<void> {
  if (isAccelerator(device)) await native.afterDevice(prepareDevice(device));
}

/** Memory of a device in bytes. */
export interface DeviceMemory {
  /** Free for every program. */
  readonly free: number;
  readonly total: number;
  /** Held by tensors of this process. */
  readonly allocated: number;
  /** The most that {@link allocated} was since {@link resetDevicePeak}. */
  readonly peak: number;
  /** Held by this process, with blocks kept for later tensors. */
  readonly reserved: number;
}

/**
 * Memory of a device with memory of its own.
 *
 * @throws TorchError for the CPU, whose memory is the machine's (`memoryStats` counts its tensors).
 */
export function deviceMemory(device: Device): DeviceMemory {
  return native.deviceMemory(ownMemory(device));
}

/** Sets {@link DeviceMemory.peak} to what is allocated now. */
export function resetDevicePeak(device: Device): void {
  native.resetDevicePeak(ownMemory(device));
}

/** Gives the blocks that a device keeps for later tensors back. */
export function emptyDeviceCache(device: Device): void {
  native.emptyDeviceCache(ownMemory(device));
}

function ownMemory(device: Device): Device {
  if (isAccelerator(device)) return prepareDevice(device);
  throw new TorchError(`Device '${device}' has no memory of its own; ask memoryStats().`);
}
