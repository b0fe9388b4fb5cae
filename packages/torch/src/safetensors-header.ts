/** The header of a safetensors file: u64 length, JSON padded to 8 bytes, then the tensors' bytes. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dtypeBytes, type DType } from './dtype.js';
import { TorchError } from './errors.js';
import type { FileRegion } from './mapped-file.js';

/** The format's names of element types, in the order in which writers put them into a file. */
const storageTypes: readonly (readonly [string, DType])[] = [
  ['I64', 'int64'],
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['I32', 'int32'],
  ['BF16', 'bfloat16'],
  ['F16', 'float16'],
  ['I16', 'int16'],
  ['I8', 'int8'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
];
const dtypeOfName = new Map(storageTypes);
const nameOfDtype = new Map(storageTypes.map(([name, dtype]) => [dtype, name]));
const rank = new Map(storageTypes.map(([, dtype], index) => [dtype, index]));

/** The largest header that the format's reference implementation reads. */
const largestHeader = 100_000_000;

/** One tensor of a file. */
export type SafetensorsEntry = FileRegion;

/** Contents of a file. */
export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Size of the file. */
  readonly fileBytes: number;
}

function damaged(path: string, problem: string): TorchError {
  return new TorchError(
    `${path} is not a whole safetensors file: ${problem}; fetch or save it again.`,
  );
}

function unreadable(path: string, error: unknown): TorchError {
  const { code, message } = error as NodeJS.ErrnoException;
  const cause =
    code === 'ENOENT'
      ? 'there is no such file; check the path'
      : code === 'EACCES'
        ? 'it may not be read; change its permissions'
        : code === 'EISDIR'
          ? 'it is a folder; name the file in it'
          : message;
  return new TorchError(`${path} could not be read: ${cause}.`, { cause: error });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function readBytes(path: string, file: number, length: number, position: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const count = readSync(file, bytes, done, length - done, position + done);
    if (count === 0) throw damaged(path, 'it ends within its header');
    done += count;
  }
  return bytes;
}

/** The JSON text of the header and where the tensors' bytes begin. */
function readHeaderText(path: string): { text: string; dataStart: number; fileBytes: number } {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw unreadable(path, { code: 'EISDIR' });
    const fileBytes = stat.size;
    if (fileBytes < 8) throw damaged(path, `it has only ${fileBytes} bytes`);
    const length = readBytes(path, file, 8, 0).readBigUInt64LE();
    if (length > BigInt(Math.min(fileBytes - 8, largestHeader))) {
      throw damaged(
        path,
        `its header is said to take ${length.toString()} bytes of a file of ${fileBytes}`,
      );
    }
    const bytes = readBytes(path, file, Number(length), 8);
    return { text: bytes.toString('utf8'), dataStart: 8 + bytes.length, fileBytes };
  } finally {
    closeSync(file);
  }
}

function parseEntry(
  path: string,
  name: string,
  value: unknown,
  dataStart: number,
): SafetensorsEntry {
  const { dtype: storageType, shape, data_offsets: offsets } = isRecord(value) ? value : {};
  const whole =
    Array.isArray(shape) &&
    shape.every(isCount) &&
    Array.isArray(offsets) &&
    offsets.every(isCount);
  const [begin, end] = whole ? offsets : [];
  if (!whole || begin === undefined || end === undefined || typeof storageType !== 'string') {
    throw damaged(path, `its header describes '${name}' without type, shape and place`);
  }
  const dtype = dtypeOfName.get(storageType);
  if (dtype === undefined) {
    throw new TorchError(
      `${path} holds '${name}' in the type ${storageType}, which is not supported; convert the file to one of ${[...dtypeOfName.keys()].join(', ')}.`,
    );
  }
  const bytes = shape.reduce((product, length) => product * length, dtypeBytes(dtype));
  if (bytes !== end - begin) {
    throw damaged(
      path,
      `'${name}' of type ${storageType} and shape [${shape.join(', ')}] needs ${bytes} bytes but has ${end - begin}`,
    );
  }
  return { dtype, shape, start: dataStart + begin, bytes };
}

/** Every byte after the header must belong to one tensor. */
function checkLayout(
  path: string,
  entries: ReadonlyMap<string, SafetensorsEntry>,
  dataStart: number,
  fileBytes: number,
): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.start - b.start || a.bytes - b.bytes);
  let position = dataStart;
  for (const [name, { start, bytes }] of inOrder) {
    if (start !== position) {
      throw damaged(path, `the bytes of '${name}' do not follow those of the tensor before it`);
    }
    position += bytes;
  }
  if (position > fileBytes) {
    throw damaged(path, `it is cut short: ${fileBytes} bytes where its header needs ${position}`);
  }
  if (position < fileBytes) {
    throw damaged(path, `${fileBytes - position} bytes follow that its header does not know of`);
  }
}

/**
 * Reads and checks what a safetensors file says it holds.
 *
 * @throws TorchError when the file cannot be read or is damaged: a header that is no JSON, unknown
 * types, bytes that are missing, left over or claimed twice.
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  const { text, dataStart, fileBytes } = readHeaderText(path);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw damaged(path, 'its header is not JSON');
  }
  if (!isRecord(parsed)) throw damaged(path, 'its header is not a JSON object');
  const { __metadata__: metadata = {}, ...described } = parsed;
  if (!isRecord(metadata) || !Object.values(metadata).every((item) => typeof item === 'string')) {
    throw damaged(path, 'its metadata are not all text');
  }
  const entries = new Map(
    Object.entries(described).map(([name, value]) => [
      name,
      parseEntry(path, name, value, dataStart),
    ]),
  );
  checkLayout(path, entries, dataStart, fileBytes);
  return { entries, metadata: metadata as Record<string, string>, fileBytes };
}

/** A tensor to be written. */
export interface Described {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * Tensors in the format's canonical order: large elements first, so that all are aligned, then by
 * the bytes of their names.
 */
export function inFileOrder<T extends Described>(tensors: readonly T[]): T[] {
  return [...tensors].sort(
    (a, b) =>
      (rank.get(a.dtype) ?? 0) - (rank.get(b.dtype) ?? 0) ||
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  );
}

/** The header of a file with these tensors, in the order given. */
export function encodeHeader(
  tensors: readonly Described[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] =
    Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let position = 0;
  for (const { name, dtype, shape } of tensors) {
    const end = shape.reduce((product, length) => product * length, dtypeBytes(dtype)) + position;
    header.push([name, { dtype: nameOfDtype.get(dtype), shape, data_offsets: [position, end] }]);
    position = end;
  }
  // Object.fromEntries would move names that look like numbers to the front.
  const fields = header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const text = Buffer.from(`{${fields.join(',')}}`);
  const padded = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  padded.writeBigUInt64LE(BigInt(padded.length - 8));
  text.copy(padded, 8);
  return padded;
}
