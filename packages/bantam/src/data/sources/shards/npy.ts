import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';

/** A value of an array: whole numbers beyond 2⁵³ are bigints. */
export type NpyValue = number | bigint | boolean | string;

/** An array of numpy. */
export interface NpyArray {
  readonly shape: readonly number[];
  /** In C order: the last index runs fastest. */
  readonly values: readonly NpyValue[];
}

/** Longest header that is read; numpy's own limit is 10,000 characters. */
const mostHeader = 2 ** 16;

const magic = '\x93NUMPY';

/** Reads one value of a type at an offset. */
type ReadValue = (view: DataView, offset: number, isLittle: boolean) => NpyValue;

/** Bytes of a value, and how it is read. */
interface Type {
  readonly bytes: number;
  readonly read: ReadValue;
}

const types: Readonly<Record<string, Type>> = {
  b1: { bytes: 1, read: (view, offset) => view.getUint8(offset) !== 0 },
  i1: { bytes: 1, read: (view, offset) => view.getInt8(offset) },
  u1: { bytes: 1, read: (view, offset) => view.getUint8(offset) },
  i2: { bytes: 2, read: (view, offset, isLittle) => view.getInt16(offset, isLittle) },
  u2: { bytes: 2, read: (view, offset, isLittle) => view.getUint16(offset, isLittle) },
  i4: { bytes: 4, read: (view, offset, isLittle) => view.getInt32(offset, isLittle) },
  u4: { bytes: 4, read: (view, offset, isLittle) => view.getUint32(offset, isLittle) },
  i8: { bytes: 8, read: (view, offset, isLittle) => whole(view.getBigInt64(offset, isLittle)) },
  u8: { bytes: 8, read: (view, offset, isLittle) => whole(view.getBigUint64(offset, isLittle)) },
  f2: { bytes: 2, read: (view, offset, isLittle) => half(view.getUint16(offset, isLittle)) },
  f4: { bytes: 4, read: (view, offset, isLittle) => view.getFloat32(offset, isLittle) },
  f8: { bytes: 8, read: (view, offset, isLittle) => view.getFloat64(offset, isLittle) },
};

/**
 * Reads an array that `numpy.save` wrote, versions 1 to 3 of the format (NumPy Enhancement Proposal
 * 1): booleans, whole numbers, floats of 16 to 64 bits, and texts, of either byte order, in C or
 * Fortran order. Objects are pickles, which can run programs: they are refused.
 *
 * @throws BantamError saying what is wrong, as the end of a sentence: `it is no .npy file`.
 */
export function readNpy(bytes: Uint8Array): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { header, start } = readHeader(bytes, view);
  const { descr, isFortran, shape } = parseHeader(header);
  const count = shape.reduce((product, size) => product * size, 1);
  const { type, isLittle } = typeOf(descr);
  const wanted = count * type.bytes;
  const given = bytes.byteLength - start;
  if (given < wanted) {
    throw new BantamError(`it ends after ${given} of ${wanted} bytes of its values`);
  }
  const stored = Array.from({ length: count }, (_, i) =>
    type.read(view, start + i * type.bytes, isLittle),
  );
  return { shape, values: isFortran ? toRowMajor(stored, shape) : stored };
}

function readHeader(bytes: Uint8Array, view: DataView): { header: string; start: number } {
  const isArray =
    bytes.length >= 10 && Buffer.from(bytes.subarray(0, 6)).toString('latin1') === magic;
  if (!isArray) throw new BantamError('it is no .npy file');
  const version = view.getUint8(6);
  if (version < 1 || version > 3) {
    throw new BantamError(`it has version ${version} of the format, and 1 to 3 are known`);
  }
  const lengthBytes = version === 1 ? 2 : 4;
  const first = 8 + lengthBytes;
  if (bytes.length < first) throw new BantamError('it ends within its header');
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > mostHeader || bytes.length < first + length) {
    throw new BantamError('it ends within its header');
  }
  const text = Buffer.from(bytes.subarray(first, first + length));
  return { header: text.toString(version === 3 ? 'utf8' : 'latin1'), start: first + length };
}

/** The members of the header, a dictionary as Python prints it. */
function parseHeader(header: string): { descr: string; isFortran: boolean; shape: number[] } {
  if (/'descr'\s*:\s*\[/.test(header)) {
    throw new BantamError('its values are records of several fields, which are not read');
  }
  const [, descr] = /'descr'\s*:\s*'([^']*)'/.exec(header) ?? [];
  const [, order] = /'fortran_order'\s*:\s*(True|False)/.exec(header) ?? [];
  const [, sizes] = /'shape'\s*:\s*\(([\d\s,L]*)\)/.exec(header) ?? [];
  if (descr === undefined || order === undefined || sizes === undefined) {
    throw new BantamError('its header is damaged');
  }
  const shape = sizes
    .split(',')
    .map((size) => size.trim().replace(/L$/, ''))
    .filter(Boolean)
    .map(Number);
  if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(shape.reduce((a, b) => a * b, 1)))
    throw new BantamError('its header is damaged');
  return { descr, isFortran: order === 'True', shape };
}

function typeOf(descr: string): { type: Type; isLittle: boolean } {
  const [, order = '|', kind = '', size = ''] = /^([<>=|]?)([a-zA-Z?])(\d*)$/.exec(descr) ?? [];
  // `=` is the order of the machine that wrote it, which the format does not store.
  const isLittle = order !== '>';
  const plain = kind === '?' ? types.b1 : types[`${kind}${size}`];
  if (plain !== undefined) return { type: plain, isLittle };
  if (kind === 'O') {
    throw new BantamError('it holds Python objects, which are not read as they can run programs');
  }
  const length = Number(size);
  if (kind === 'U') return { type: { bytes: 4 * length, read: unicode(length) }, isLittle };
  if (kind === 'S' || kind === 'a') {
    return { type: { bytes: length, read: byteText(length) }, isLittle };
  }
  throw new BantamError(`its type "${descr}" is not read`);
}

/** A text of 32-bit code points, filled up with zeros. */
function unicode(length: number): ReadValue {
  return (view, offset, isLittle) => {
    const points = Array.from({ length }, (_, i) => view.getUint32(offset + 4 * i, isLittle));
    if (points.some((point) => point > 0x10_ff_ff)) throw new BantamError('its texts are damaged');
    return String.fromCodePoint(...points).replace(/\0+$/, '');
  };
}

/** A text of bytes, filled up with zeros. */
function byteText(length: number): ReadValue {
  return (view, offset) =>
    Buffer.from(view.buffer, view.byteOffset + offset, length)
      .toString('utf8')
      .replace(/\0+$/, '');
}

function whole(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** IEEE 754 binary16. */
function half(bits: number): number {
  const sign = bits & 0x80_00 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3_ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Values whose first index runs fastest, with the last one fastest. */
function toRowMajor(values: readonly NpyValue[], shape: readonly number[]): NpyValue[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape) {
    strides.push(stride);
    stride *= size;
  }
  return values.map((_, position) => {
    let rest = position;
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = at(shape, axis);
      from += (rest % size) * at(strides, axis);
      rest = Math.floor(rest / size);
    }
    return at(values, from);
  });
}
