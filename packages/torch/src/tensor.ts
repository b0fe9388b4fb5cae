import { at } from './at.js';
import {
  arrayOver,
  dtypeCode,
  dtypeOfArray,
  dtypeOfCode,
  type DType,
  type TypedArray,
} from './dtype.js';
import { isAccelerator, prepareDevice, type Device } from './device.js';
import { TorchError } from './errors.js';
import { native, type TensorHandle } from './native.js';
import { track } from './scope.js';

/** Options of {@link Tensor.backward}. */
export interface BackwardOptions {
  /** Gradient with respect to this tensor; may be left out for a scalar (1). */
  grad?: Tensor;
  /** Keep the graph, so that a second backward pass can run. Default false. */
  retainGraph?: boolean;
}

/**
 * An n-dimensional array of libtorch, and a node of the autograd graph.
 *
 * Operators are free functions (`add(x, y)`, `linear(x, w)`); the class holds what a tensor is and
 * its lifetime. Memory is freed by {@link Tensor.dispose}, at the end of a {@link scope}, or, last,
 * by the garbage collector.
 */
export class Tensor {
  readonly #handle: TensorHandle;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #disposed = false;

  /** Takes over a handle of the addon; user code makes tensors with `tensor`, `zeros`, `randn`, … */
  constructor(handle: TensorHandle) {
    this.#handle = handle;
    track(this);
  }

  /** The addon's handle; throws when the tensor was disposed. */
  get handle(): TensorHandle {
    if (this.#disposed) {
      throw new TorchError(
        'A tensor was used after it was disposed; return it from its scope, or pass it to keep().',
      );
    }
    return this.#handle;
  }

  /** Sizes of the dimensions. */
  get shape(): readonly number[] {
    this.#shape ??= native.shape(this.handle);
    return this.#shape;
  }

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((product, length) => product * length, 1);
  }

  /** Element type. */
  get dtype(): DType {
    this.#dtype ??= dtypeOfCode(native.dtype(this.handle));
    return this.#dtype;
  }

  /** The device that holds the elements, with its index: `cpu`, `cuda:0`. */
  get device(): Device {
    return native.device(this.handle) as Device;
  }

  /** True if the elements are in row-major order without gaps. */
  get isContiguous(): boolean {
    return native.isContiguous(this.handle);
  }

  /** True after {@link dispose}. */
  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** Length of dimension `dim`; negative counts from the end. */
  dim(dim: number): number {
    const length = this.shape.at(dim);
    if (length === undefined) {
      throw new TorchError(
        `Dimension ${dim} was asked of a tensor of shape [${this.shape.join(', ')}].`,
      );
    }
    return length;
  }

  /** True if gradients are computed for this tensor; settable on leaves. */
  get requiresGrad(): boolean {
    return native.requiresGrad(this.handle);
  }

  set requiresGrad(value: boolean) {
    native.setRequiresGrad(this.handle, value);
  }

  /** True if it is not the result of an operator that recorded a gradient. */
  get isLeaf(): boolean {
    return native.isLeaf(this.handle);
  }

  /** The accumulated gradient of a leaf, or null. Each read makes a new handle to the same memory. */
  get grad(): Tensor | null {
    const handle = native.getGrad(this.handle);
    return handle === null ? null : new Tensor(handle);
  }

  set grad(value: Tensor | null) {
    native.setGrad(this.handle, value === null ? null : value.handle);
  }

  /**
   * Adds ∂this/∂leaf to the gradient of every leaf that this tensor was computed from.
   *
   * @throws libtorch's error if it is no scalar and no gradient is given, or if the graph was freed.
   */
  backward({ grad, retainGraph = false }: BackwardOptions = {}): void {
    native.backward([this.handle], grad === undefined ? [] : [grad.handle], retainGraph);
  }

  /** The value of a tensor with one element. */
  item(): number {
    if (this.size !== 1) {
      throw new TorchError(
        `item() needs a tensor with one element, not one of shape [${this.shape.join(', ')}].`,
      );
    }
    return at(this.toArray(), 0);
  }

  /**
   * The elements in row-major order, copied. 16-bit floats come as raw bits in a `Uint16Array`;
   * `toArray` gives their values.
   */
  toTypedArray(): TypedArray {
    return arrayOver(native.copyToBuffer(this.handle), this.dtype);
  }

  /**
   * {@link toTypedArray} as they are when the device has done what it was given so far, without waiting
   * for it: other code runs until then.
   */
  async read(): Promise<TypedArray> {
    if (!isAccelerator(this.device)) return this.toTypedArray();
    const { dtype } = this;
    return arrayOver(await native.readLater(this.handle), dtype);
  }

  /** The elements in row-major order as numbers. */
  toArray(): number[] {
    const half = this.dtype === 'bfloat16' || this.dtype === 'float16';
    if (!half) return Array.from(this.toTypedArray(), Number);
    const converted = native.call(toDtype, [this.handle, dtypeCode('float32'), false, false]);
    const values = new Float32Array(native.copyToBuffer(converted as TensorHandle));
    native.dispose(converted as TensorHandle);
    return Array.from(values);
  }

  /** Frees the memory now, unless another tensor or the autograd graph still needs it. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    native.dispose(this.#handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** `Tensor(float32[2, 3])`, for messages and the debugger. */
  toString(): string {
    if (this.#disposed) return 'Tensor(disposed)';
    return `Tensor(${this.dtype}[${this.shape.join(', ')}])`;
  }
}

const toDtype = native.resolve('aten::to', 'dtype');

/** Options of {@link fromTypedArray}. */
export interface FromTypedArrayOptions {
  /** Sizes of the dimensions; default: one dimension. */
  shape?: readonly number[];
  /** How to read the bytes; default: what the array's type says (`Uint16Array`: bfloat16 bits). */
  dtype?: DType;
  /**
   * Copy the elements. With false the tensor shares the array's memory: whoever writes the array
   * changes the tensor, so it must stay unchanged while the tensor is used. Default true.
   */
  copy?: boolean;
  /** Where the elements go; another device than the CPU takes a copy. Default `cpu`. */
  device?: Device;
}

/**
 * A tensor with the elements of a typed array (over an `ArrayBuffer` or a `SharedArrayBuffer`).
 *
 * @throws RangeError when shape and dtype do not match the array's bytes.
 */
export function fromTypedArray(array: TypedArray, options: FromTypedArrayOptions = {}): Tensor {
  const { shape = [array.length], dtype = dtypeOfArray(array), copy = true } = options;
  const device = prepareDevice(options.device ?? 'cpu');
  return new Tensor(native.fromTypedArray(array, shape, dtypeCode(dtype), copy, device));
}
