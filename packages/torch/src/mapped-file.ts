/** Tensors over mapped files. */
import { dtypeBytes, dtypeCode, type DType } from './dtype.js';
import { Operator } from './operator.js';
import { zeros } from './ops/create.js';
import { clone, narrow, reshape, viewAs } from './ops/shape.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';

const fromFile = new Operator('aten::from_file');

/** The first `bytes` bytes of a file, as uint8: a view of the mapped file. */
export function mapBytes(path: string, bytes: number): Tensor {
  return fromFile.tensor(path, false, bytes, dtypeCode('uint8'));
}

/** A tensor's place in a file: its elements in row-major order, little-endian, from byte `start`. */
export interface MappedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** 0 by default. */
  readonly start?: number;
}

/** A tensor over {@link mapBytes}; a copy only if its bytes are not aligned to its elements. */
export function viewBytes(file: Tensor, { dtype, shape, start = 0 }: MappedTensor): Tensor {
  const bytes = shape.reduce((product, length) => product * length, dtypeBytes(dtype));
  if (bytes === 0) return zeros(shape, { dtype });
  const raw = narrow(file, 0, start, bytes);
  const aligned = start % dtypeBytes(dtype) === 0 ? raw : clone(raw);
  return reshape(viewAs(aligned, dtype), shape);
}

/**
 * A tensor whose elements are those of a file. Nothing is read until it is used, and the system may
 * drop what was read when memory is short. Writing to the tensor changes memory only, never the file.
 *
 * @throws libtorch's error if the file is missing or too short.
 */
export function mapTensor(path: string, { dtype, shape, start = 0 }: MappedTensor): Tensor {
  const bytes = shape.reduce((product, length) => product * length, dtypeBytes(dtype));
  if (bytes === 0) return zeros(shape, { dtype });
  return scope(() => viewBytes(mapBytes(path, start + bytes), { dtype, shape, start }));
}
