import { inflateRawSync } from 'node:zlib';
import { BantamError } from '../../../base/errors.js';
import type { RandomAccessFile } from './file.js';

/** A file within an archive. */
export interface ZipEntry {
  /** Offset of its bytes, as stored, from the start of the archive. */
  readonly start: number;
  readonly storedBytes: number;
  readonly bytes: number;
  readonly deflated: boolean;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

/** Bytes of the records without names and extra fields. */
const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;

/** The largest list of files that is read. */
const LARGEST_LIST = 1 << 26;
/** Deflate cannot shrink more than this. */
const HIGHEST_RATIO = 1040;

type Fail = (problem: string) => never;

/**
 * The files of a zip archive by name (PKWARE's APPNOTE 6.3, with 64-bit sizes): only the list is read.
 * Every entry is checked to be within the archive.
 *
 * @throws BantamError if the archive is damaged, encrypted, or compressed in another way than by deflate.
 */
export function readZipEntries(file: RandomAccessFile): Map<string, ZipEntry> {
  const fail: Fail = (problem) => {
    throw new BantamError(
      `${file.path} is not a whole zip archive: ${problem}; fetch or save it again.`,
    );
  };
  const { start, bytes, count } = findList(file, fail);
  if (bytes > LARGEST_LIST) return fail(`its list of files takes ${bytes} bytes`);
  if (start + bytes > file.bytes) return fail('it ends before its list of files');
  const list = file.read(start, bytes);
  const entries = new Map<string, ZipEntry>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > list.length || list.readUInt32LE(at) !== CENTRAL) {
      return fail('its list of files is damaged');
    }
    const nameBytes = list.readUInt16LE(at + 28);
    const extraBytes = list.readUInt16LE(at + 30);
    const end = at + CENTRAL_BYTES + nameBytes + extraBytes;
    if (end > list.length) return fail('its list of files is damaged');
    const name = list.toString('utf8', at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes);
    entries.set(name, entryOf(file, list.subarray(at, end), { name, nameBytes, fail }));
    at = end + list.readUInt16LE(at + 32);
  }
  return entries;
}

/** Offset, size and length of the list of files, by the record at the archive's end. */
function findList(
  file: RandomAccessFile,
  fail: Fail,
): { start: number; bytes: number; count: number } {
  const tailBytes = Math.min(file.bytes, END_BYTES + 0xffff);
  const tail = file.read(file.bytes - tailBytes, tailBytes);
  let at = tail.length - END_BYTES;
  while (at >= 0 && tail.readUInt32LE(at) !== END) at--;
  if (at < 0) return fail('it is cut short');
  const locator = at - 20;
  if (locator < 0 || tail.readUInt32LE(locator) !== LOCATOR_64) {
    return {
      count: tail.readUInt16LE(at + 10),
      bytes: tail.readUInt32LE(at + 12),
      start: tail.readUInt32LE(at + 16),
    };
  }
  const offset = wide(tail, locator + 8, fail);
  if (offset + 56 > file.bytes) return fail('it is cut short');
  const record = file.read(offset, 56);
  if (record.readUInt32LE(0) !== END_64) return fail('its list of files is damaged');
  return {
    count: wide(record, 32, fail),
    bytes: wide(record, 40, fail),
    start: wide(record, 48, fail),
  };
}

function wide(bytes: Buffer, at: number, fail: Fail): number {
  const value = bytes.readBigUInt64LE(at);
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? fail('a size in it is damaged') : Number(value);
}

/** An entry of the list, checked against the record before its bytes. */
function entryOf(
  file: RandomAccessFile,
  record: Buffer,
  { name, nameBytes, fail }: { name: string; nameBytes: number; fail: Fail },
): ZipEntry {
  if ((record.readUInt16LE(8) & 1) === 1) return fail(`${name} in it is encrypted`);
  const method = record.readUInt16LE(10);
  if (method !== 0 && method !== 8) {
    return fail(`${name} in it is compressed by method ${method} instead of deflate`);
  }
  const extra = record.subarray(CENTRAL_BYTES + nameBytes);
  const [bytes, storedBytes, offset] = sizesOf(record, extra, fail);
  if (offset + LOCAL_BYTES > file.bytes) return fail(`${name} in it is cut short`);
  const local = file.read(offset, LOCAL_BYTES);
  if (local.readUInt32LE(0) !== LOCAL) return fail(`${name} in it is damaged`);
  const start = offset + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  const deflated = method === 8;
  if (start + storedBytes > file.bytes) return fail(`${name} in it is cut short`);
  if (deflated ? bytes > storedBytes * HIGHEST_RATIO + 1024 : bytes !== storedBytes) {
    return fail(`${name} in it cannot have ${bytes} bytes`);
  }
  return { start, storedBytes, bytes, deflated };
}

/** Size, stored size and offset; those that do not fit into 32 bits are in an extra field. */
function sizesOf(record: Buffer, extra: Buffer, fail: Fail): [number, number, number] {
  let wideField: Buffer = Buffer.alloc(0);
  for (let at = 0; at + 4 <= extra.length;) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) wideField = extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  let used = 0;
  const size = (at: number): number => {
    const value = record.readUInt32LE(at);
    if (value !== 0xffffffff) return value;
    if (used + 8 > wideField.length) return fail('a size in it is damaged');
    used += 8;
    return wide(wideField, used - 8, fail);
  };
  const bytes = size(24);
  const storedBytes = size(20);
  return [bytes, storedBytes, size(42)];
}

/**
 * The bytes of an entry.
 *
 * @throws BantamError if they are damaged.
 */
export function readZipEntry(file: RandomAccessFile, name: string, entry: ZipEntry): Buffer {
  const stored = file.read(entry.start, entry.storedBytes);
  if (!entry.deflated) return stored;
  try {
    const bytes = inflateRawSync(stored, { maxOutputLength: Math.max(1, entry.bytes) });
    if (bytes.length === entry.bytes) return bytes;
  } catch {
    // Damaged data, and more of it than is said, end in the same error.
  }
  throw new BantamError(`${name} in ${file.path} is damaged; fetch or save it again.`);
}
