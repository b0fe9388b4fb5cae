/** Making tensors. */
import { prepareDevice, type Device } from '../device.js';
import { dtypeCode, type DType } from '../dtype.js';
import { Operator } from '../operator.js';
import { fromTypedArray, type Tensor } from '../tensor.js';
import { to } from './shape.js';

/** Options of functions that make tensors. */
export interface CreateOptions {
  /** Default float32. */
  dtype?: DType;
  /** Default `cpu`, or what {@link onDevice} has set. */
  device?: Device;
}

let defaultDevice: Device = 'cpu';

/**
 * Runs `body` with another default device for new tensors. On `meta` they have shapes but no memory,
 * so that a model can be made just to be looked at.
 *
 * @throws TorchError if there is no such device.
 */
export function onDevice<T>(device: Device, body: () => T): T {
  const before = defaultDevice;
  defaultDevice = prepareDevice(device);
  try {
    return body();
  } finally {
    defaultDevice = before;
  }
}

const emptyOp = new Operator('aten::empty', 'memory_format');
const zerosOp = new Operator('aten::zeros');
const onesOp = new Operator('aten::ones');
const fullOp = new Operator('aten::full');
const eyeOp = new Operator('aten::eye');
const arangeOp = new Operator('aten::arange', 'start_step');
const zerosLikeOp = new Operator('aten::zeros_like');
const onesLikeOp = new Operator('aten::ones_like');
const emptyLikeOp = new Operator('aten::empty_like');

/** dtype, layout and device, as factory schemas end with them. */
export function factoryArguments({
  dtype = 'float32',
  device = defaultDevice,
}: CreateOptions): [number, undefined, string] {
  return [dtypeCode(dtype), undefined, prepareDevice(device)];
}

/** A tensor whose elements are not set. */
export function empty(shape: readonly number[], options: CreateOptions = {}): Tensor {
  return emptyOp.tensor(shape, ...factoryArguments(options));
}

/** Zeros. */
export function zeros(shape: readonly number[], options: CreateOptions = {}): Tensor {
  return zerosOp.tensor(shape, ...factoryArguments(options));
}

/** Ones. */
export function ones(shape: readonly number[], options: CreateOptions = {}): Tensor {
  return onesOp.tensor(shape, ...factoryArguments(options));
}

/** A tensor filled with `value`. */
export function full(shape: readonly number[], value: number, options: CreateOptions = {}): Tensor {
  return fullOp.tensor(shape, value, ...factoryArguments(options));
}

/** The n×n identity matrix. */
export function eye(n: number, options: CreateOptions = {}): Tensor {
  return eyeOp.tensor(n, ...factoryArguments(options));
}

/** start, start + step, … below end; int64 unless a dtype is given. */
export function arange(
  end: number,
  {
    start = 0,
    step = 1,
    dtype = 'int64',
    ...options
  }: CreateOptions & { start?: number; step?: number } = {},
): Tensor {
  return arangeOp.tensor(start, end, step, ...factoryArguments({ dtype, ...options }));
}

/** Zeros of x's shape, type and device. */
export function zerosLike(x: Tensor): Tensor {
  return zerosLikeOp.tensor(x);
}

/** Ones of x's shape, type and device. */
export function onesLike(x: Tensor): Tensor {
  return onesLikeOp.tensor(x);
}

/** A tensor of x's shape, type and device whose elements are not set. */
export function emptyLike(x: Tensor): Tensor {
  return emptyLikeOp.tensor(x);
}

/** Nested arrays of numbers. */
export type NestedNumbers = number | readonly NestedNumbers[];

function flattenInto(data: NestedNumbers, flat: number[]): void {
  if (typeof data === 'number') flat.push(data);
  else for (const item of data) flattenInto(item, flat);
}

/**
 * A tensor from nested arrays of numbers (or one number: a scalar).
 *
 * @throws RangeError when the arrays are ragged.
 */
export function tensor(data: NestedNumbers, options: CreateOptions = {}): Tensor {
  const shape: number[] = [];
  let level: NestedNumbers | undefined = data;
  while (typeof level === 'object') {
    shape.push(level.length);
    [level] = level;
  }
  const flat: number[] = [];
  flattenInto(data, flat);
  const { dtype = 'float32', device = defaultDevice } = options;
  const made = fromTypedArray(Float64Array.from(flat), { shape });
  const typed = to(made, { dtype });
  made.dispose();
  if (device === 'cpu') return typed;
  const moved = to(typed, { device, wait: false });
  typed.dispose();
  return moved;
}
