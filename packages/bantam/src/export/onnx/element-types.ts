import type { DType } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';

/** Element types of ONNX by Bantam's names, with their numbers in `TensorProto.DataType`. */
const numbers = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
} as const;

/** An element type that an exported graph may have. */
export type ElementType = keyof typeof numbers;

/** ONNX's number of an element type. */
export function elementTypeNumber(type: ElementType): number {
  return numbers[type];
}

/** @throws BantamError for an element type that exported graphs do not have. */
export function requireElementType(dtype: DType): ElementType {
  if (dtype in numbers) return dtype as ElementType;
  throw new BantamError(`Graphs for ONNX have no tensors of ${dtype}.`);
}
