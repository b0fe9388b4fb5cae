import { BantamError } from '../../../base/errors.js';
import type { TextBytes } from './text-bytes.js';

/** A line of a text: its bytes without the line break, and where they are. */
export interface TextLine {
  readonly offset: number;
  readonly length: number;
  /** Offset of the next line. */
  readonly next: number;
  /** From 1. */
  readonly number: number;
}

const chunkBytes = 2 ** 20;
/** A longer line is no row of a table. */
const mostLineBytes = 2 ** 26;

/** Reads a text line by line, in a window of bounded size; it can be set back. */
export class LineReader {
  readonly #bytes: TextBytes;
  #position: number;
  #number = 1;
  #chunk = Buffer.alloc(0);
  #chunkStart = 0;

  constructor(
    bytes: TextBytes,
    readonly path: string,
  ) {
    this.#bytes = bytes;
    // The byte order mark of UTF-8.
    const marked = bytes.read(0, 3);
    this.#position = marked.equals(Buffer.from([0xef, 0xbb, 0xbf])) ? 3 : 0;
  }

  get position(): number {
    return this.#position;
  }

  /** The next line, or undefined at the end. */
  next(): TextLine | undefined {
    const offset = this.#position;
    if (offset >= this.#bytes.size) return undefined;
    const end = this.#findBreak(offset);
    const next = Math.min(end + 1, this.#bytes.size);
    const number = this.#number++;
    this.#position = next;
    const ends = end > offset && this.#byte(end - 1) === 13 ? end - 1 : end;
    return { offset, length: ends - offset, next, number };
  }

  /** Sets the reader to the line behind another one. */
  goAfter(line: TextLine): void {
    this.#position = line.next;
    this.#number = line.number + 1;
  }

  /** Bytes of the text. */
  slice(offset: number, length: number): Buffer {
    const start = offset - this.#chunkStart;
    return start >= 0 && start + length <= this.#chunk.length
      ? this.#chunk.subarray(start, start + length)
      : this.#bytes.read(offset, length);
  }

  #byte(offset: number): number | undefined {
    return this.slice(offset, 1)[0];
  }

  #findBreak(offset: number): number {
    for (let length = chunkBytes; ; length *= 2) {
      const start = offset - this.#chunkStart;
      if (start >= 0 && start < this.#chunk.length) {
        const found = this.#chunk.indexOf(10, start);
        if (found >= 0) return found + this.#chunkStart;
        if (this.#chunkStart + this.#chunk.length >= this.#bytes.size) return this.#bytes.size;
      }
      if (length > mostLineBytes) {
        throw new BantamError(
          `Line ${this.#number} of "${this.path}" has more than ${mostLineBytes / 2 ** 20} MiB; it is not a table.`,
        );
      }
      this.#chunk = Buffer.from(this.#bytes.read(offset, length));
      this.#chunkStart = offset;
    }
  }
}
