import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs';
import { isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';
import { BantamError } from '../../../base/errors.js';
import { causeOf } from '../../../base/system-error.js';

/** Random access to the bytes of a text, which are UTF-8 or of another superset of ASCII. */
export interface TextBytes {
  readonly size: number;
  /** Bytes from an offset on, fewer at the end. They are valid until the next call. */
  read(offset: number, length: number): Buffer;
  /** Decodes bytes of this text; undefined if they are in no encoding that is known. */
  decode(bytes: Buffer): DecodedText | undefined;
  /** A sentence about the encoding, if it is not UTF-8. */
  readonly note?: string | undefined;
}

export interface DecodedText {
  readonly text: string;
  /** The bytes are not UTF-8 and were read as Windows-1252. */
  readonly isWindows1252: boolean;
}

/** Files in other encodings are converted in memory, up to this size. */
const mostConverted = 2 ** 30;

/** The characters of bytes 0x80 to 0x9f in Windows-1252; the blanks are undefined. */
const windows1252 = '€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ';

/**
 * Opens a text file: UTF-8, UTF-16 by its byte order mark or its zero bytes, or the named encoding.
 * Rows that are not UTF-8 are Windows-1252, the usual encoding of older spreadsheets.
 *
 * @param encoding A label of the Encoding Standard, such as `shift_jis`.
 * @param kind Kind of the source, for messages.
 * @throws BantamError for a file that cannot be read or is no text, an unknown encoding, and a large
 * file in an encoding that needs conversion.
 */
export function openText(path: string, encoding: string | undefined, kind: string): TextBytes {
  const { file, start } = openStart(path, kind);
  const found = encoding?.toLowerCase() ?? markedEncoding(start);
  const isPlain = found === undefined || /^utf-?8$/.test(found);
  // Lines of old Macintosh programs end with a carriage return alone.
  const hasCarriageReturns = isPlain && start.includes(13) && !start.includes(10);
  if (isPlain && !hasCarriageReturns) return file;
  if (found === 'windows-1252' || found === 'cp1252') return new FileBytes(path, true);
  if (file.size > mostConverted) {
    throw new BantamError(
      `"${path}" has ${Math.round(file.size / 2 ** 20)} MiB in the encoding ${found ?? 'of carriage returns'}; save it as UTF-8 with ordinary line breaks.`,
    );
  }
  let decoder: TextDecoder;
  try {
    decoder = new TextDecoder(found);
  } catch {
    throw new BantamError(
      `There is no encoding "${found ?? ''}"; name one such as utf-8, windows-1252, utf-16le or shift_jis.`,
    );
  }
  const text = decoder.decode(readFileSync(path));
  const bytes = Buffer.from(hasCarriageReturns ? text.replaceAll('\r', '\n') : text);
  return new MemoryBytes(
    bytes,
    encoding === undefined && !hasCarriageReturns
      ? `"${path}" is read as ${(found ?? '').toUpperCase()}.`
      : undefined,
  );
}

/** Archives, which are no text, by their first bytes. */
const archives: readonly (readonly [start: string, what: string, remedy: string])[] = [
  [
    '\x1f\x8b',
    'compressed by gzip',
    'unpack it with "gunzip", as rows are read at any offset in it',
  ],
  ['\x28\xb5\x2f\xfd', 'compressed by zstd', 'unpack it with "unzstd"'],
  ['BZh', 'compressed by bzip2', 'unpack it with "bunzip2"'],
  ['\xfd7zXZ', 'compressed by xz', 'unpack it with "unxz"'],
  ['PK\x03\x04', 'a zip archive or an Excel workbook', 'unpack it, or save the sheet as CSV'],
  ['\xd0\xcf\x11\xe0', 'an Excel workbook', 'save the sheet as CSV'],
  ['PAR1', 'a Parquet file', 'open it with "parquet:"'],
  ['ARROW1', 'an Arrow file', 'save it as Parquet, and open it with "parquet:"'],
];

/** Opens a file and reads its start, with a sentence about one that is no text. */
function openStart(path: string, kind: string): { file: FileBytes; start: Buffer } {
  let file: FileBytes;
  let start: Buffer;
  try {
    const found = statSync(path);
    if (!found.isFile() && !found.isDirectory()) {
      throw new BantamError(
        `"${path}" is not a file that can be read at any position; save the data to one.`,
      );
    }
    file = new FileBytes(path);
    start = Buffer.from(file.read(0, 4096));
  } catch (error) {
    if (error instanceof BantamError) throw error;
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
      const tables = readdirSync(path).filter((name) =>
        /\.(csv|tsv|jsonl|json|parquet)$/i.test(name),
      );
      const more = tables.length > 5 ? ', …' : '';
      const found =
        tables.length === 0
          ? 'which holds no tables'
          : `with ${tables.slice(0, 5).join(', ')}${more}`;
      throw new BantamError(`"${path}" is a folder, ${found}; name a file in it after "${kind}:".`);
    }
    throw new BantamError(
      `The table "${path}" cannot be read (${causeOf(error)}); name an existing file after "${kind}:".`,
      { cause: error },
    );
  }
  const first = start.toString('latin1', 0, 8);
  const archive = archives.find(([mark]) => first.startsWith(mark));
  if (archive !== undefined) {
    throw new BantamError(`"${path}" is ${archive[1]}; ${archive[2]}.`);
  }
  return { file, start };
}

/**
 * Text of a small file: UTF-16 by its byte order mark or its zero bytes, UTF-8, else Windows-1252; without
 * a byte order mark. Undefined for bytes that are in none of these.
 */
export function decodeFile(bytes: Buffer): string | undefined {
  const marked = markedEncoding(bytes.subarray(0, 4096));
  const text =
    marked === undefined ? decodeText(bytes)?.text : new TextDecoder(marked).decode(bytes);
  return text?.replace(/^\ufeff/, '');
}

/** A text in memory. */
export function memoryText(text: string): TextBytes {
  return new MemoryBytes(Buffer.from(text), undefined);
}

/** UTF-16, by its byte order mark or by the zero bytes of its ASCII characters. */
function markedEncoding(start: Buffer): string | undefined {
  if (start[0] === 0xff && start[1] === 0xfe) return 'utf-16le';
  if (start[0] === 0xfe && start[1] === 0xff) return 'utf-16be';
  let even = 0;
  let odd = 0;
  for (const [i, byte] of start.entries()) {
    if (byte !== 0) continue;
    if (i % 2 === 0) even++;
    else odd++;
  }
  const many = start.length / 8;
  if (odd > many && odd > 4 * even) return 'utf-16le';
  return even > many && even > 4 * odd ? 'utf-16be' : undefined;
}

class FileBytes implements TextBytes {
  readonly size: number;
  readonly #modified: number;
  readonly #path: string;
  readonly #isWindows1252: boolean;
  #window = Buffer.alloc(0);
  #start = 0;

  constructor(path: string, isWindows1252 = false) {
    this.#path = path;
    this.#isWindows1252 = isWindows1252;
    const file = openSync(path, 'r');
    ({ size: this.size, mtimeMs: this.#modified } = fstatSync(file));
    closeSync(file);
  }

  read(offset: number, length: number): Buffer {
    const end = Math.min(this.size, offset + length);
    if (offset < this.#start || end > this.#start + this.#window.length) {
      this.#fill(offset, end - offset);
    }
    return this.#window.subarray(offset - this.#start, end - this.#start);
  }

  decode(bytes: Buffer): DecodedText | undefined {
    return this.#isWindows1252
      ? { text: decodeWindows1252(bytes) ?? '', isWindows1252: false }
      : decodeText(bytes);
  }

  /** Opens the file for each window: random access must not hold a descriptor for ever. */
  #fill(offset: number, length: number): void {
    const file = openSync(this.#path, 'r');
    try {
      const { size, mtimeMs } = fstatSync(file);
      if (size !== this.size || mtimeMs !== this.#modified) {
        throw new BantamError(`"${this.#path}" has changed since it was opened; start again.`);
      }
      const window = Buffer.allocUnsafe(Math.max(length, Math.min(2 ** 14, size - offset)));
      let read = 0;
      while (read < window.length) {
        const count = readSync(file, window, read, window.length - read, offset + read);
        if (count === 0) break;
        read += count;
      }
      this.#window = window.subarray(0, read);
      this.#start = offset;
    } finally {
      closeSync(file);
    }
  }
}

class MemoryBytes implements TextBytes {
  constructor(
    readonly bytes: Buffer,
    readonly note: string | undefined,
  ) {}

  get size(): number {
    return this.bytes.length;
  }

  read(offset: number, length: number): Buffer {
    return this.bytes.subarray(offset, offset + length);
  }

  decode(bytes: Buffer): DecodedText | undefined {
    return decodeText(bytes);
  }
}

/** UTF-8, else Windows-1252; undefined for bytes that neither has. */
function decodeText(bytes: Buffer): DecodedText | undefined {
  if (isUtf8(bytes)) return { text: bytes.toString('utf8'), isWindows1252: false };
  const text = decodeWindows1252(bytes);
  return text === undefined ? undefined : { text, isWindows1252: true };
}

/** Node's own decoder reads these bytes as Latin-1 in some versions. */
function decodeWindows1252(bytes: Buffer): string | undefined {
  let invalid = 0;
  const text = bytes.toString('latin1').replaceAll(/[\x80-\x9f]/g, (character) => {
    const mapped = windows1252.charAt(character.charCodeAt(0) - 0x80);
    if (mapped === ' ') invalid++;
    return mapped;
  });
  return invalid === 0 ? text : undefined;
}
