import {
  closeSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from '@bantam/torch';
import { describeDifference } from '../base/describe-difference.js';
import { BantamError } from '../base/errors.js';
import { makeFolder } from '../base/make-folder.js';
import { causeOf } from '../base/system-error.js';
import { scanScores, type ScoreHeader, type ScoreRow } from '../data/select/score-file.js';

/** Milliseconds after which written scores are synced to the disk: a power cut costs no more. */
const syncInterval = 1000;

export interface ScoreWriterOptions {
  /** Records that are scored together: a resumed file begins at a multiple. */
  readonly batchSize: number;
  /** Values kept of each readable image, for scores that need all of them; 0 for none. */
  readonly featureWidth: number;
}

/** Rows of a finished score file or of one in progress. */
interface Rows {
  readonly rows: number;
  /** Rows whose image could be read. */
  readonly readable: number;
  readonly broken: number;
}

/**
 * A score file in progress: rows in `OUT.partial` and features in `OUT.partial.features`, both
 * appended batch by batch. Only a complete file gets the name `OUT`.
 */
export class ScoreWriter {
  readonly path: string;
  readonly #partial: string;
  readonly #header: ScoreHeader;
  readonly #featureBytes: number;
  readonly #rowFile: number;
  readonly #featureFile: number | undefined;
  #state: Rows;
  #synced = Date.now();

  private constructor(path: string, header: ScoreHeader, begun: Begun, featureWidth: number) {
    this.path = path;
    this.#partial = partialOf(path);
    this.#header = header;
    this.#featureBytes = featureWidth * 4;
    this.#state = begun;
    truncateSync(this.#partial, begun.end);
    this.#rowFile = openSync(this.#partial, 'a');
    if (begun.end === 0) this.#write(this.#rowFile, Buffer.from(`${JSON.stringify(header)}\n`));
    if (featureWidth > 0) {
      const file = featuresOf(path);
      closeSync(openSync(file, 'a'));
      truncateSync(file, begun.readable * this.#featureBytes);
      this.#featureFile = openSync(file, 'a+');
    }
  }

  /**
   * Begins a score file, or resumes one with the same header at the last whole batch.
   *
   * @throws BantamError when `path` or `path.partial` was made with other settings (the difference
   * is named), is another file, or cannot be written.
   */
  static async open(
    path: string,
    header: ScoreHeader,
    { batchSize, featureWidth }: ScoreWriterOptions,
  ): Promise<ScoreWriter> {
    try {
      makeFolder(dirname(path));
      const begun = await resumeAt(path, header, { batchSize, featureWidth });
      closeSync(openSync(partialOf(path), 'a'));
      return new ScoreWriter(path, header, begun, featureWidth);
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** Rows so far. */
  get rows(): number {
    return this.#state.rows;
  }

  /** Rows without scores so far. */
  get broken(): number {
    return this.#state.broken;
  }

  /** Rows with features so far. */
  get readable(): number {
    return this.#state.readable;
  }

  /** Appends a batch: features first, so that no row lacks its own. */
  append(rows: readonly ScoreRow[], features: Float32Array): void {
    const broken = rows.filter((row) => row.broken !== undefined).length;
    if (this.#featureFile !== undefined) {
      const { buffer, byteOffset, byteLength } = features;
      this.#write(this.#featureFile, Buffer.from(buffer, byteOffset, byteLength));
    }
    const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
    this.#write(this.#rowFile, Buffer.from(lines));
    this.#state = {
      rows: this.#state.rows + rows.length,
      broken: this.#state.broken + broken,
      readable: this.#state.readable + rows.length - broken,
    };
    if (Date.now() - this.#synced < syncInterval) return;
    this.#sync();
    this.#synced = Date.now();
  }

  /** Features of some readable rows, `width` values of each from `first` on. */
  readFeatures(
    readable: Iterable<number>,
    { count, first, width }: { count: number; first: number; width: number },
  ): Float32Array {
    const features = new Float32Array(count * width);
    const bytes = new Uint8Array(features.buffer);
    if (this.#featureFile === undefined) return features;
    let to = 0;
    for (const row of readable) {
      const position = row * this.#featureBytes + first * 4;
      readSync(this.#featureFile, bytes, to, width * 4, position);
      to += width * 4;
    }
    return features;
  }

  /** The record of each readable row, in order. */
  async readableRecords(): Promise<Int32Array> {
    const records = new Int32Array(this.readable);
    let record = 0;
    let readable = 0;
    await scanScores(this.#partial, (row) => {
      if (row.broken === undefined) records[readable++] = record;
      record++;
    });
    return records;
  }

  /** Closes the files and leaves them to be resumed. */
  close(): void {
    this.#sync();
    closeSync(this.#rowFile);
    if (this.#featureFile !== undefined) closeSync(this.#featureFile);
  }

  /**
   * Gives the complete file its name, with further scores of each readable row: a temporary file is
   * synced and renamed, then the partial ones are removed.
   */
  async finish(
    extra?: (readable: number) => Readonly<Record<string, number | string>>,
  ): Promise<void> {
    this.close();
    try {
      if (extra === undefined) renameSync(this.#partial, this.path);
      else await this.#rewrite(extra);
      syncFolder(dirname(this.path));
      rmSync(this.#partial, { force: true });
      rmSync(featuresOf(this.path), { force: true });
    } catch (error) {
      throw writeError(this.path, error);
    }
  }

  async #rewrite(
    extra: (readable: number) => Readonly<Record<string, number | string>>,
  ): Promise<void> {
    const temporary = `${this.path}.tmp`;
    const file = openSync(temporary, 'w');
    try {
      let lines = `${JSON.stringify(this.#header)}\n`;
      let readable = 0;
      await scanScores(this.#partial, (row) => {
        const whole = row.broken === undefined ? { ...row, ...extra(readable++) } : row;
        lines += `${JSON.stringify(whole)}\n`;
        if (lines.length < 2 ** 20) return;
        this.#write(file, Buffer.from(lines));
        lines = '';
      });
      this.#write(file, Buffer.from(lines));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.path);
  }

  #sync(): void {
    if (this.#featureFile !== undefined) fsyncSync(this.#featureFile);
    fsyncSync(this.#rowFile);
  }

  #write(file: number, bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
    } catch (error) {
      throw writeError(this.path, error);
    }
  }
}

/**
 * The rows of a finished score file that was made with this header; undefined if there is no such
 * file.
 */
export async function finishedScores(path: string, wanted: ScoreHeader): Promise<Rows | undefined> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isFile()) {
    throw new BantamError(`"${path}" is no ordinary file; name another one for the scores.`);
  }
  let broken = 0;
  const { header, rows } = await scanScores(path, (row) => {
    if (row.broken !== undefined) broken++;
  });
  if (header?.records !== rows) {
    throw new BantamError(
      `"${path}" is no complete score file and is left unchanged; name another file, or remove this one.`,
    );
  }
  refuseOther(path, header, wanted);
  return { rows, broken, readable: rows - broken };
}

/** Rows after which a file in progress is resumed, and where their bytes end. */
interface Begun extends Rows {
  readonly end: number;
}

async function resumeAt(
  path: string,
  wanted: ScoreHeader,
  { batchSize, featureWidth }: ScoreWriterOptions,
): Promise<Begun> {
  const none: Begun = { rows: 0, broken: 0, readable: 0, end: 0 };
  const partial = partialOf(path);
  if (statSync(partial, { throwIfNoEntry: false }) === undefined) return none;
  const features = statSync(featuresOf(path), { throwIfNoEntry: false })?.size ?? 0;
  let begun = none;
  let rows = 0;
  let broken = 0;
  const { header } = await scanScores(partial, (row, { end }) => {
    rows++;
    if (row.broken !== undefined) broken++;
    const readable = rows - broken;
    const isWhole = rows % batchSize === 0 || rows === wanted.records;
    if (isWhole && readable * featureWidth * 4 <= features) begun = { rows, broken, readable, end };
  });
  if (header === undefined || begun.rows === 0) return none;
  refuseOther(partial, header, wanted);
  return begun;
}

function refuseOther(path: string, found: ScoreHeader, wanted: ScoreHeader): void {
  const difference = describeDifference(facts(found), facts(wanted));
  if (difference === undefined) return;
  throw new BantamError(
    `"${path}" was made with ${difference}; give the same settings, name another file, or remove this one.`,
  );
}

/** All that scores depend on: of a model its weights, wherever it is. */
function facts({ data, records, digest, scores, settings }: ScoreHeader): Record<string, unknown> {
  const whole = { data, records, 'data digest': digest.slice(0, 12), scores, ...settings };
  return Object.fromEntries(Object.entries(whole).filter(([name]) => name !== 'model'));
}

function partialOf(path: string): string {
  return `${path}.partial`;
}

function featuresOf(path: string): string {
  return `${path}.partial.features`;
}

function writeError(path: string, error: unknown): BantamError {
  if (error instanceof BantamError) return error;
  return new BantamError(
    `The score file "${path}" cannot be written (${causeOf(error)}); make room or name another file.`,
  );
}
