import { closeSync, fsyncSync, openSync, statSync, truncateSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { BantamError } from '../base/errors.js';
import { describeDifference } from '../base/describe-difference.js';
import { makeFolder } from '../base/make-folder.js';
import { causeOf } from '../base/system-error.js';
import {
  readCaptionFile,
  type CaptionEntry,
  type CaptionHeader,
} from '../data/sources/caption-file.js';

/** Milliseconds after which what was written is synced to the disk: a power cut costs no more. */
const syncInterval = 1000;

/** A caption file that grows line by line; after a process that was ended it holds whole lines. */
export class CaptionWriter {
  readonly path: string;
  /** Keys of the images that are captioned. */
  readonly keys: ReadonlySet<string>;
  /** Notes for users, such as a line that was cut off. */
  readonly notes: readonly string[];
  readonly #file: number;
  #synced = Date.now();

  private constructor(
    path: string,
    { keys, notes, begin }: { keys: Iterable<string>; notes: readonly string[]; begin: string },
  ) {
    this.path = path;
    this.keys = new Set(keys);
    this.notes = notes;
    this.#file = openSync(path, 'a');
    this.#write(begin);
  }

  /**
   * Begins a caption file, or resumes one that was made with the same settings: a last line that
   * was cut off is dropped with a note.
   *
   * @throws BantamError when the file is no caption file, was made with other settings (the
   * difference is named), or cannot be written.
   */
  static async open(path: string, header: CaptionHeader): Promise<CaptionWriter> {
    const first = `${JSON.stringify(header)}\n`;
    try {
      const found = statSync(path, { throwIfNoEntry: false });
      if (found === undefined) {
        makeFolder(dirname(path));
        return new CaptionWriter(path, { keys: [], notes: [], begin: first });
      }
      if (!found.isFile()) {
        throw new BantamError(`"${path}" is no ordinary file; name another one for the captions.`);
      }
      const { headers, captions, wholeBytes, cutOff, unterminated } = await readCaptionFile(path);
      const isBegun =
        headers.length > 0 ||
        (wholeBytes === 0 && Buffer.from(first).subarray(0, cutOff.length).equals(cutOff));
      if (!isBegun) {
        throw new BantamError(
          `"${path}" was not written by "bantam data caption" and is left unchanged; name another file.`,
        );
      }
      if (captions.size === 0) {
        // Nothing is lost, so the settings may be others.
        truncateSync(path);
        return new CaptionWriter(path, { keys: [], notes: [], begin: first });
      }
      for (const found of headers) refuseOther(path, found, header);
      const notes =
        cutOff.length === 0
          ? []
          : [
              `The last line of "${path}" was cut off (${cutOff.length} bytes) and is written anew; the ${captions.size} images before it are kept.`,
            ];
      truncateSync(path, wholeBytes);
      return new CaptionWriter(path, {
        keys: captions.keys(),
        notes,
        begin: unterminated ? '\n' : '',
      });
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** Appends an image's captions as a line. */
  append(entry: CaptionEntry): void {
    this.#write(`${JSON.stringify(entry)}\n`);
    if (Date.now() - this.#synced < syncInterval) return;
    fsyncSync(this.#file);
    this.#synced = Date.now();
  }

  /** Waits until all is on the disk. */
  close(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }

  #write(text: string): void {
    const bytes = Buffer.from(text);
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done);
    } catch (error) {
      throw writeError(this.path, error);
    }
  }
}

function writeError(path: string, error: unknown): BantamError {
  if (error instanceof BantamError) return error;
  return new BantamError(
    `The caption file "${path}" cannot be written (${causeOf(error)}); make room or name another file.`,
  );
}

function refuseOther(path: string, found: CaptionHeader, wanted: CaptionHeader): void {
  const difference = describeDifference(facts(found), facts(wanted));
  if (difference === undefined) return;
  throw new BantamError(
    `"${path}" was made with ${difference}; give the same settings, or name another file.`,
  );
}

function facts({ data, captioner, settings }: CaptionHeader): Readonly<Record<string, unknown>> {
  return { data, captioner, ...settings };
}
