import { createReadStream } from 'node:fs';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { anyObject, count, described, group, isObject, listOf, text } from '../../base/schema.js';

const headerSchema = group({
  bantam: v.literal('scores'),
  format: described(v.literal(1), 'Version of this file.'),
  data: described(text(), 'Specification of the data.'),
  records: described(count(), 'Records of the data.'),
  digest: described(text(), 'SHA-256 of the keys and captions, in order.'),
  scores: described(listOf(text()), 'Names of the scores.'),
  settings: described(anyObject(), 'Everything that the scores depend on beside the data.'),
});

/** First line of a score file: its data, its scores, and how they were made. */
export type ScoreHeader = Readonly<v.InferOutput<typeof headerSchema>>;

/** Value of a score; a record may lack some of them. */
export type ScoreValue = number | string;

/** A line of a score file. */
export interface ScoreRow {
  /** The record's key in its source. */
  readonly key: string;
  /** Reason why the image has no scores. */
  readonly broken?: string;
  /** Scores by name. */
  readonly [score: string]: ScoreValue | undefined;
}

/** Score names that would be mistaken for other members of a line. */
const reserved = ['key', 'broken'];

/** Scores of a file in memory: a row for each line, in their order. */
export interface ScoreTable {
  readonly path: string;
  readonly header: ScoreHeader;
  readonly keys: readonly string[];
  /** Numbers, NaN where a record has none. */
  readonly numbers: ReadonlyMap<string, Float64Array>;
  /** Texts, undefined where a record has none. */
  readonly texts: ReadonlyMap<string, readonly (string | undefined)[]>;
  /** Records whose images could not be read. */
  readonly broken: number;
}

/** Result of {@link scanScores}. */
export interface ScoreScan {
  readonly header: ScoreHeader | undefined;
  /** Lines after the header. */
  readonly rows: number;
  /** Bytes of the whole lines. */
  readonly wholeBytes: number;
  /** Bytes of a last line without its line break. */
  readonly cutOff: number;
}

/** Position of a line: its number, from 1 for the header, and the byte after it. */
export interface LinePosition {
  readonly number: number;
  readonly end: number;
}

/**
 * Reads a score file line by line, in constant memory. A last line without a line break is left
 * out.
 *
 * @throws BantamError when the file cannot be read, its first line is no header, or another line is
 * no row of scores.
 */
export async function scanScores(
  path: string,
  onRow: (row: ScoreRow, position: LinePosition) => void,
): Promise<ScoreScan> {
  let header: ScoreHeader | undefined;
  let rows = 0;
  let wholeBytes = 0;
  const take = (line: Buffer): void => {
    const number = header === undefined ? 1 : rows + 2;
    const value = parse(line);
    wholeBytes += line.length + 1;
    if (header === undefined) {
      header = readHeader(value, path);
      return;
    }
    if (!isRow(value)) {
      throw new BantamError(
        `Line ${number} of "${path}" is no row of scores, {"key": …, "similarity": …}; repair or remove the file.`,
      );
    }
    rows++;
    onRow(value, { number, end: wholeBytes });
  };
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
      const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
      let start = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
        take(bytes.subarray(start, end));
        start = end + 1;
      }
      rest = bytes.subarray(start);
    }
  } catch (error) {
    if (error instanceof BantamError) throw error;
    throw new BantamError(
      `The score file "${path}" cannot be read (${causeOf(error)}); name a file that "bantam data score" wrote.`,
    );
  }
  return { header, rows, wholeBytes, cutOff: rest.length };
}

/**
 * Reads a finished score file: 8 bytes for each number, and each distinct text once.
 *
 * @throws BantamError as {@link scanScores}, and when lines are missing.
 */
export async function readScores(path: string): Promise<ScoreTable> {
  const keys: string[] = [];
  const numbers = new Map<string, Float64Array>();
  const texts = new Map<string, (string | undefined)[]>();
  const interned = new Map<string, string>();
  let capacity = 1024;
  let broken = 0;
  const numbersOf = (name: string): Float64Array => {
    let column = numbers.get(name);
    if (column === undefined || column.length < capacity) {
      const larger = new Float64Array(capacity).fill(NaN);
      if (column !== undefined) larger.set(column);
      numbers.set(name, larger);
      column = larger;
    }
    return column;
  };
  const { header, rows, cutOff } = await scanScores(path, (row) => {
    const index = keys.length;
    if (index === capacity) capacity *= 2;
    keys.push(row.key);
    if (row.broken !== undefined) broken++;
    for (const name in row) {
      if (reserved.includes(name)) continue;
      const value = row[name];
      if (typeof value === 'number') numbersOf(name)[index] = value;
      else if (typeof value === 'string') {
        let column = texts.get(name);
        if (column === undefined) texts.set(name, (column = []));
        const known = interned.get(value);
        if (known === undefined && interned.size < 10_000) interned.set(value, value);
        column[index] = known ?? value;
      }
    }
  });
  if (header === undefined) throw noScores(path);
  if (cutOff > 0 || rows !== header.records) {
    throw new BantamError(
      `The score file "${path}" has ${rows} whole rows of ${header.records}; score the data anew.`,
    );
  }
  return {
    path,
    header,
    keys,
    numbers: new Map(
      [...numbers.keys()].map((name) => [name, numbersOf(name).subarray(0, keys.length)]),
    ),
    texts: new Map(
      [...texts].map(([name, column]) => [name, Array.from(keys, (_, i) => column[i])]),
    ),
    broken,
  };
}

/** @throws BantamError unless a value is a header of scores that this version reads. */
function readHeader(value: unknown, path: string): ScoreHeader {
  const result = v.safeParse(headerSchema, value);
  if (result.success) return result.output;
  if (isObject(value) && value.bantam === 'scores' && value.format !== 1) {
    throw new BantamError(
      `The score file "${path}" has the format ${JSON.stringify(value.format)}, but this version reads 1; score the data anew.`,
    );
  }
  throw noScores(path);
}

function noScores(path: string): BantamError {
  return new BantamError(`"${path}" is no score file; name a file that "bantam data score" wrote.`);
}

function isRow(value: unknown): value is ScoreRow {
  return isObject(value) && typeof value.key === 'string';
}

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
