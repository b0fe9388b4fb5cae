import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { posix } from 'node:path';

/** Headers and contents of a tar archive fill blocks of this many bytes. */
const block = 512;

/** A regular file within a tar archive. */
export interface TarMember {
  readonly name: string;
  /** Offset of its bytes in the archive. */
  readonly offset: number;
  readonly length: number;
}

/** Why an archive could not be read to its end. */
export class TarDamage extends Error {
  override readonly name = 'TarDamage';

  constructor(
    message: string,
    /** The file that is not whole, where its name is known. */
    readonly member?: string,
  ) {
    super(message);
  }
}

/**
 * A tar archive that is read by its headers, never whole: ustar, with the long names of pax and
 * GNU and sizes beyond octal digits (POSIX.1-2017, "pax Interchange Format"; GNU tar manual,
 * "Basic Tar Format").
 */
export class TarReader {
  readonly size: number;
  readonly modified: number;
  /** Archives that follow the first one in the file, as after `cat a.tar b.tar`. */
  joined = 0;
  /** Members that are neither files nor folders, or links to files that are not there. */
  readonly skipped: string[] = [];
  readonly #file: number;
  /** A stretch of the file: a header and often the small file behind it. */
  readonly #window = Buffer.allocUnsafe(4096);
  #start = 0;
  #length = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'r');
    ({ size: this.size, mtimeMs: this.modified } = fstatSync(this.#file));
  }

  close(): void {
    closeSync(this.#file);
  }

  /** A member's bytes. */
  read({ offset, length }: Omit<TarMember, 'name'>): Buffer {
    const whole = Buffer.allocUnsafe(length);
    if (offset >= this.#start && offset + length <= this.#start + this.#length) {
      this.#window.copy(whole, 0, offset - this.#start);
    } else if (this.#fill(whole, offset) < length) {
      throw new TarDamage(`it ends at byte ${this.size} in the middle of a file`);
    }
    return whole;
  }

  /**
   * The regular files in order. Throws {@link TarDamage} where a header is none or a file goes
   * beyond the end; the members given before are whole.
   */
  *members(): Generator<TarMember, void, undefined> {
    const found = new Map<string, TarMember>();
    let longName: string | undefined;
    let longLink: string | undefined;
    let hasEnded = false;
    let pax: ReadonlyMap<string, string> = new Map();
    let at = 0;
    while (at < this.size) {
      const header = this.#headerOrEnd(at, hasEnded);
      if (header === 'garbage') return;
      if (header === undefined) {
        // Zero blocks end an archive; another one may follow.
        hasEnded = true;
        at += block;
        continue;
      }
      if (hasEnded) this.joined++;
      hasEnded = false;
      const length = Number(pax.get('size') ?? header.size);
      const content = { offset: at + block, length };
      if (!(length >= 0) || content.offset + length > this.size) {
        const name = pax.get('path') ?? longName ?? header.name;
        throw new TarDamage(`it ends at byte ${this.size} in the middle of "${name}"`, name);
      }
      at = content.offset + Math.ceil(length / block) * block;
      if (header.type === 'L') {
        longName = trimNul(this.read(content));
      } else if (header.type === 'K') {
        longLink = trimNul(this.read(content));
      } else if (header.type === 'x') {
        pax = parsePax(this.read(content));
      } else {
        const name = pax.get('path') ?? longName ?? header.name;
        // 0 and NUL are regular files, and so is 7 to those who know no contiguous ones.
        if (['0', '\0', '7'].includes(header.type)) {
          const member = { name, ...content };
          found.set(plainName(name), member);
          yield member;
        } else if (header.type === '1' || header.type === '2') {
          const link = pax.get('linkpath') ?? longLink ?? header.link;
          // Hard links name a member by its path in the archive, symbolic ones from their folder.
          const folder = header.type === '1' ? '' : posix.dirname(name);
          const target = found.get(plainName(posix.join(folder, link)));
          if (target === undefined) this.skipped.push(name);
          else yield { ...target, name };
        } else if (header.type !== '5' && header.type !== 'g') this.skipped.push(name);
        // A global header ("g") holds no file's name or size.
        if (header.type !== 'g') [longName, longLink, pax] = [undefined, undefined, new Map()];
      }
    }
    if (this.size === 0) throw new TarDamage('it is empty');
    if (at > this.size && !hasEnded)
      throw new TarDamage(`it ends at byte ${this.size} in the middle of a block`);
  }

  /** The header at an offset; after an archive's end, bytes that are no header are of no account. */
  #headerOrEnd(at: number, hasEnded: boolean) {
    if (!hasEnded) return this.#header(at);
    try {
      return this.#header(at);
    } catch (error) {
      if (error instanceof TarDamage) return 'garbage';
      throw error;
    }
  }

  /** The header at an offset; undefined for the empty block that ends an archive. */
  #header(at: number): { name: string; link: string; size: number; type: string } | undefined {
    if (at < this.#start || at + block > this.#start + this.#length) {
      this.#start = at;
      this.#length = this.#fill(this.#window, at);
    }
    const bytes = this.#window.subarray(at - this.#start, at - this.#start + block);
    if (this.#start + this.#length < at + block) {
      throw new TarDamage(`it ends at byte ${this.size} in the middle of a header`);
    }
    // The checksum's own field counts as eight spaces.
    let sum = 8 * 32;
    for (let i = 0; i < 148; i++) sum += bytes[i] ?? 0;
    for (let i = 156; i < block; i++) sum += bytes[i] ?? 0;
    if (sum === 8 * 32) return undefined;
    if (sum !== parseNumber(bytes.subarray(148, 156))) {
      throw new TarDamage(
        bytes[0] === 0x1f && bytes[1] === 0x8b && at === 0
          ? 'it is compressed; unpack it with "gunzip", as images are read at any offset in it'
          : `there is no tar header at byte ${at}`,
      );
    }
    const isUstar = bytes.toString('latin1', 257, 263) === 'ustar\0';
    const prefix = isUstar ? trimNul(bytes.subarray(345, 500)) : '';
    const name = trimNul(bytes.subarray(0, 100));
    return {
      name: prefix === '' ? name : `${prefix}/${name}`,
      link: trimNul(bytes.subarray(157, 257)),
      size: parseNumber(bytes.subarray(124, 136)),
      type: String.fromCharCode(bytes[156] ?? 0),
    };
  }

  /** Reads into a buffer from an offset; returns how many bytes there were. */
  #fill(buffer: Buffer, offset: number): number {
    let read = 0;
    while (read < buffer.length) {
      const count = readSync(this.#file, buffer, read, buffer.length - read, offset + read);
      if (count === 0) break;
      read += count;
    }
    return read;
  }
}

/** The bytes that come before a regular file's in a tar archive; its name has at most 100 bytes. */
export function tarHeader(name: string, length: number): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  header.write(name, 0, 100);
  header.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100);
  header.write(`${octal(length, 11)}\0${octal(0, 11)}\0`, 124);
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)}\0 `, 148);
  return header;
}

/** The bytes that come behind a file of a length, up to the next block. */
export function tarPadding(length: number): Buffer {
  return Buffer.alloc((block - (length % block)) % block);
}

/** The two empty blocks that end an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * block);

/** A member's path without a leading `./`. */
function plainName(name: string): string {
  return posix.normalize(name);
}

function trimNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

/** Octal digits, or where the first bit is set a binary number. */
function parseNumber(bytes: Uint8Array): number {
  if (((bytes[0] ?? 0) & 0x80) === 0) return parseInt(trimNul(bytes).trim() || '0', 8);
  return bytes.subarray(1).reduce((value, byte) => value * 256 + byte, (bytes[0] ?? 0) & 0x7f);
}

/** Records of a pax header: `LENGTH KEY=VALUE\n`, with a length that counts all of it. */
function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString('latin1', at, space));
    if (space < 0 || !(length > 0)) break;
    const record = bytes.toString('utf8', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}
