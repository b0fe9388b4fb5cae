/** Tensors over the bytes of a file. */
import { dtypeBytes, dtypeCode, type DType } from './dtype.js';
import { Operator } from './operator.js';
import { zeros } from './ops/create.js';
import { clone, narrow, reshape, viewAs } from './ops/shape.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';

/** Elements that are in a file one after the other, in row-major order. */
export interface FileRegion {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Offset of its bytes from the start of the file. */
  readonly start: number;
  readonly bytes: number;
}

const fromFile = new Operator('aten::from_file');

/**
 * The bytes of a file as a uint8 tensor [bytes]. The file is mapped: nothing is read until it is
 * used, and writing to the tensor changes memory only, never the file.
 *
 * @param bytes - the size of the file
 */
export function mapFile(path: string, bytes: number): Tensor {
  return fromFile.tensor(path, false, bytes, dtypeCode('uint8'));
}

/** The elements of a region of a mapped file: a view if they are aligned, else a copy. */
export function viewRegion(file: Tensor, { dtype, shape, start, bytes }: FileRegion): Tensor {
  if (bytes === 0) return zeros(shape, { dtype });
  const raw = narrow(file, 0, start, bytes);
  const aligned = start % dtypeBytes(dtype) === 0 ? raw : clone(raw);
  return reshape(viewAs(aligned, dtype), shape);
}

/**
 * A tensor whose elements are those of a file, from its start: a view of the mapped file, of which the
 * system may drop what was read when memory is short.
 *
 * @throws libtorch's error if the file is missing or too short.
 */
export function mapTensor(
  path: string,
  { dtype, shape }: Pick<FileRegion, 'dtype' | 'shape'>,
): Tensor {
  const bytes = shape.reduce((product, length) => product * length, dtypeBytes(dtype));
  if (bytes === 0) return zeros(shape, { dtype });
  return scope(() => viewRegion(mapFile(path, bytes), { dtype, shape, start: 0, bytes }));
}
