import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { writeFileAtomic } from '@bantam/torch';
import { isObject } from '../../base/schema.js';
import { readJson } from '../../base/json-file.js';
import { makeFolder } from '../../base/make-folder.js';
import type { EvaluationResult } from '../tasks/result.js';

/** Changes with the meaning of results, so that older ones are measured anew. */
const format = 1;

/** The results of one task of one model on one data set, kept so that a suite resumes. */
export class RunFile {
  readonly #path: string;
  readonly #key: string;

  /**
   * @param folder Folder of such files.
   * @param name Readable part of the file's name.
   * @param facts Everything that the results depend on.
   */
  constructor(folder: string, name: string, facts: readonly unknown[]) {
    this.#key = createHash('sha256')
      .update(JSON.stringify([format, ...facts]))
      .digest('hex');
    const readable = name.replaceAll(/[^\w.-]+/g, '-');
    this.#path = join(folder, `${readable}-${this.#key.slice(0, 12)}.json`);
  }

  /** The results of an earlier run; undefined if there are none. */
  async read(): Promise<readonly EvaluationResult[] | undefined> {
    const value = await readJson(this.#path, 'run');
    if (!isObject(value) || value.key !== this.#key) return undefined;
    return value.results as EvaluationResult[];
  }

  /** Writes results, whole or not at all. */
  write(results: readonly EvaluationResult[]): void {
    makeFolder(join(this.#path, '..'));
    const text = JSON.stringify({ key: this.#key, results });
    writeFileAtomic(this.#path, [Buffer.from(text)]);
  }
}
