/** Element types by name, with libtorch's number and the typed array that holds their bytes. */
const table = {
  uint8: { code: 0, bytes: 1 },
  int8: { code: 1, bytes: 1 },
  int16: { code: 2, bytes: 2 },
  int32: { code: 3, bytes: 4 },
  int64: { code: 4, bytes: 8 },
  float16: { code: 5, bytes: 2 },
  float32: { code: 6, bytes: 4 },
  float64: { code: 7, bytes: 8 },
  bool: { code: 11, bytes: 1 },
  bfloat16: { code: 15, bytes: 2 },
} as const;

/** The element type of a tensor. */
export type DType = keyof typeof table;

/** The floating-point element types. */
export type FloatDType = 'float16' | 'bfloat16' | 'float32' | 'float64';

/** A typed array whose bytes a tensor can hold. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array;

const names = new Map<number, DType>(
  (Object.keys(table) as DType[]).map((name) => [table[name].code, name]),
);

/** libtorch's number of an element type. */
export function dtypeCode(dtype: DType): number {
  return table[dtype].code;
}

/** The element type with libtorch's number `code`. */
export function dtypeOfCode(code: number): DType {
  const name = names.get(code);
  if (name === undefined) throw new RangeError(`libtorch's element type ${code} is not supported.`);
  return name;
}

/** Bytes of one element. */
export function dtypeBytes(dtype: DType): number {
  return table[dtype].bytes;
}

/** True if gradients can flow through tensors of this type. */
export function isFloating(dtype: DType): dtype is FloatDType {
  return dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16' || dtype === 'float64';
}

/** The element type that a typed array's elements have. */
export function dtypeOfArray(array: TypedArray): DType {
  if (array instanceof Float32Array) return 'float32';
  if (array instanceof Float64Array) return 'float64';
  if (array instanceof BigInt64Array) return 'int64';
  if (array instanceof Int32Array) return 'int32';
  if (array instanceof Int16Array) return 'int16';
  if (array instanceof Int8Array) return 'int8';
  if (array instanceof Uint16Array) return 'bfloat16';
  return 'uint8';
}

/** A view of `buffer` as elements of `dtype`; 16-bit floats stay raw bits in a `Uint16Array`. */
export function arrayOver(buffer: ArrayBuffer, dtype: DType): TypedArray {
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer);
    case 'float64':
      return new Float64Array(buffer);
    case 'int64':
      return new BigInt64Array(buffer);
    case 'int32':
      return new Int32Array(buffer);
    case 'int16':
      return new Int16Array(buffer);
    case 'int8':
      return new Int8Array(buffer);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(buffer);
    case 'uint8':
    case 'bool':
      return new Uint8Array(buffer);
  }
}
