import { readFile } from 'node:fs/promises';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { isObject } from '../../base/schema.js';
import type { SyntheticCaption } from './source.js';

/** First line of a caption file: how its captions were made. */
export interface CaptionHeader {
  readonly bantam: 'captions';
  readonly format: 1;
  /** Specification of the captioned data. */
  readonly data: string;
  /** The captioner, as the captions name it: `coca:NAME` or `endpoint:MODEL`. */
  readonly captioner: string;
  /** All that the captions depend on beside images and captioner. */
  readonly settings: Readonly<Record<string, string | number>>;
}

/** A line of a caption file: the captions of one image. */
export interface CaptionEntry {
  /** The image's key in its source. */
  readonly key: string;
  readonly captions: readonly SyntheticCaption[];
}

/** Result of {@link readCaptionFile}. */
export interface CaptionFile {
  readonly headers: readonly CaptionHeader[];
  /** Captions by the image's key; those of several lines with one key are joined. */
  readonly captions: ReadonlyMap<string, readonly SyntheticCaption[]>;
  /** Length of the whole lines, in bytes. */
  readonly wholeBytes: number;
  /** A last line that was cut off while it was written; usually empty. */
  readonly cutOff: Buffer;
  /** The last whole line lacks its line break, as in files that people edited. */
  readonly unterminated: boolean;
}

/**
 * Reads a caption file: a line of JSON for each image, {@link CaptionEntry}, and headers. Files may
 * be joined end to end. A last line that is cut off is not an error: the lines before it count.
 *
 * @throws BantamError when the file cannot be read, or another line is no caption record.
 */
export async function readCaptionFile(path: string): Promise<CaptionFile> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new BantamError(
      `The caption file "${path}" cannot be read (${causeOf(error)}); name a file that "bantam data caption" wrote.`,
    );
  });
  const headers: CaptionHeader[] = [];
  const captions = new Map<string, SyntheticCaption[]>();
  const take = (line: unknown): boolean => {
    if (isHeader(line)) headers.push(line);
    else if (isEntry(line)) {
      const known = captions.get(line.key);
      if (known === undefined) captions.set(line.key, [...line.captions]);
      else known.push(...line.captions);
    } else return false;
    return true;
  };
  let start = 0;
  for (let number = 1; start < bytes.length; number++) {
    const end = bytes.indexOf(10, start);
    const text = bytes.toString('utf8', start, end < 0 ? bytes.length : end).trim();
    if (text !== '' && !take(parse(text))) {
      if (end < 0) break;
      throw new BantamError(
        `Line ${number} of "${path}" is no caption record, {"key": …, "captions": [{"text": …, "source": …}]}; repair or remove it.`,
      );
    }
    start = end < 0 ? bytes.length : end + 1;
  }
  const unterminated = start > 0 && bytes[start - 1] !== 10;
  return { headers, captions, wholeBytes: start, cutOff: bytes.subarray(start), unterminated };
}

/** A line of a caption file; undefined if it is none. */
export function parseCaptionLine(text: string): CaptionHeader | CaptionEntry | undefined {
  const line = parse(text);
  return isHeader(line) || isEntry(line) ? line : undefined;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

function isHeader(line: unknown): line is CaptionHeader {
  return (
    isObject(line) &&
    line.bantam === 'captions' &&
    line.format === 1 &&
    typeof line.data === 'string' &&
    typeof line.captioner === 'string' &&
    isObject(line.settings)
  );
}

function isEntry(line: unknown): line is CaptionEntry {
  return (
    isObject(line) &&
    typeof line.key === 'string' &&
    Array.isArray(line.captions) &&
    line.captions.every(isSyntheticCaption)
  );
}

/** Type guard: a JSON value is a {@link SyntheticCaption}. */
export function isSyntheticCaption(value: unknown): value is SyntheticCaption {
  return (
    isObject(value) &&
    typeof value.text === 'string' &&
    value.text.trim() !== '' &&
    typeof value.source === 'string'
  );
}
