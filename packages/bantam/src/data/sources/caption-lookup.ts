import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { parseCaptionLine, type CaptionHeader } from './caption-file.js';
import type { SyntheticCaption } from './source.js';
import { RowIndex, type RowLocation } from './tables/row-index.js';
import { openText, type TextBytes } from './tables/text-bytes.js';
import { LineReader } from './tables/text-lines.js';

/**
 * The captions of a caption file by key: only the positions of its lines are kept in memory. Captions of
 * several lines with one key are joined. A last line that is cut off does not count.
 */
export class CaptionLookup {
  /** The first header, if there is one. */
  readonly header: CaptionHeader | undefined;
  /** The last line was cut off while it was written. */
  readonly isCutOff: boolean = false;
  readonly #bytes: TextBytes;
  readonly #index: RowIndex;

  /** @throws BantamError if the file cannot be read, or a line is no caption record. */
  constructor(readonly path: string) {
    this.#bytes = openCaptions(path);
    this.#index = new RowIndex((record) => this.#keyOf(record));
    const reader = new LineReader(this.#bytes, path);
    for (let line = reader.next(); line !== undefined; line = reader.next()) {
      const { offset, length, number } = line;
      const text = reader.slice(offset, length).toString('utf8').trim();
      if (text === '') continue;
      const parsed = parseCaptionLine(text);
      if (parsed === undefined) {
        const isTerminated = offset + length < this.#bytes.size;
        if (!isTerminated) {
          this.isCutOff = true;
          break;
        }
        throw new BantamError(
          `Line ${number} of "${path}" is no caption record, {"key": …, "captions": [{"text": …, "source": …}]}; repair or remove it.`,
        );
      }
      if ('bantam' in parsed) this.header ??= parsed;
      else {
        const known = this.#index.find(parsed.key);
        if (known === undefined) this.#index.addRecord(parsed.key, { offset, length });
        else this.#index.addTo(known, { offset, length });
      }
    }
  }

  /** Images with captions. */
  get size(): number {
    return this.#index.size;
  }

  /** The key of the first image. */
  get firstKey(): string | undefined {
    return this.size === 0 ? undefined : this.#keyOf(0);
  }

  has(key: string): boolean {
    return this.#index.find(key) !== undefined;
  }

  /** The captions of an image; undefined if it has none. */
  get(key: string): readonly SyntheticCaption[] | undefined {
    const record = this.#index.find(key);
    if (record === undefined) return undefined;
    return Array.from(this.#index.rows(record), (row) => this.#entry(row).captions).flat();
  }

  #keyOf(record: number): string {
    for (const row of this.#index.rows(record)) return this.#entry(row).key;
    return '';
  }

  #entry({ offset, length }: RowLocation) {
    const parsed = parseCaptionLine(this.#bytes.read(offset, length).toString('utf8').trim());
    if (parsed !== undefined && 'key' in parsed) return parsed;
    throw new BantamError(`"${this.path}" has changed since it was opened; start again.`);
  }
}

function openCaptions(path: string): TextBytes {
  try {
    return openText(path, 'utf-8', 'captions');
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    const reason = cause === undefined ? 'it is no text' : causeOf(cause);
    throw new BantamError(
      `The caption file "${path}" cannot be read (${reason}); name a file that "bantam data caption" wrote.`,
    );
  }
}
