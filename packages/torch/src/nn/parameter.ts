import { prepareDevice, type Device } from '../device.js';
import { dtypeCode, type DType } from '../dtype.js';
import { native, type TensorHandle } from '../native.js';
import { keep } from '../scope.js';
import { Tensor } from '../tensor.js';

const detach = native.resolve('aten::detach', '');

/** A second handle to a tensor's memory; the first is disposed, so that one owner is left. */
function takeOver(tensor: Tensor): TensorHandle {
  const handle = native.call(detach, [tensor.handle]) as TensorHandle;
  tensor.dispose();
  return handle;
}

/**
 * A tensor that a module learns: a leaf that requires gradients and that no scope frees.
 *
 * It takes over the memory of the tensor it is made from, which must not be used afterwards.
 */
export class Parameter extends Tensor {
  constructor(tensor: Tensor, { requiresGrad = true }: { requiresGrad?: boolean } = {}) {
    super(takeOver(tensor));
    this.requiresGrad = requiresGrad;
    keep(this);
  }
}

/** Options of {@link TensorBuffer}. */
export interface TensorBufferOptions {
  /** Include it in the state dict. Default true. */
  persistent?: boolean;
}

/**
 * A tensor that belongs to a module's state but is not learnt, such as running statistics. Like a
 * {@link Parameter} it takes over the tensor it is made from and no scope frees it.
 */
export class TensorBuffer extends Tensor {
  readonly persistent: boolean;

  constructor(tensor: Tensor, { persistent = true }: TensorBufferOptions = {}) {
    super(takeOver(tensor));
    this.persistent = persistent;
    keep(this);
  }
}

const toDevice = native.resolve('aten::to', 'device');

/**
 * The same parameter or buffer with elements of another type or on another device; the given one is
 * disposed.
 */
export function converted<T extends Parameter | TensorBuffer>(
  member: T,
  { dtype, device = member.device }: { dtype: DType; device?: Device },
): T {
  const { requiresGrad } = member;
  const arguments_ = [member.handle, prepareDevice(device), dtypeCode(dtype)] as const;
  const wide = new Tensor(native.call(toDevice, arguments_) as TensorHandle);
  const result =
    member instanceof Parameter
      ? new Parameter(wide, { requiresGrad })
      : new TensorBuffer(wide, { persistent: member.persistent });
  member.dispose();
  return result as T;
}
