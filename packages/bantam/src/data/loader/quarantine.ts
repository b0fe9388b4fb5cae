import { appendFileSync } from 'node:fs';
import { BantamError } from '../../base/errors.js';

/** A sample that could not be used. */
export interface QuarantinedSample {
  readonly key: string;
  readonly reason: string;
}

export interface QuarantineOptions {
  /** File to which each sample is appended as a line of JSON; none by default. */
  readonly path?: string;
  /** Fraction of broken samples above which reading stops; 0.05 by default. */
  readonly maxFraction?: number;
  /** Up to this many broken samples never stop reading; 9 by default. */
  readonly tolerated?: number;
}

/** Counts and names the samples that could not be used, and stops when there are too many. */
export class Quarantine {
  readonly #path: string | undefined;
  readonly #maxFraction: number;
  readonly #tolerated: number;
  readonly #samples = new Map<string, QuarantinedSample>();

  constructor({ path, maxFraction = 0.05, tolerated = 9 }: QuarantineOptions = {}) {
    this.#path = path;
    this.#maxFraction = maxFraction;
    this.#tolerated = tolerated;
  }

  get samples(): readonly QuarantinedSample[] {
    return [...this.#samples.values()];
  }

  get count(): number {
    return this.#samples.size;
  }

  /**
   * Records a broken sample, of the `tried` ones so far; each key counts once.
   * Throws when more than the set fraction of them is broken.
   */
  add(sample: QuarantinedSample, tried: number): void {
    if (this.#samples.has(sample.key)) return;
    this.#samples.set(sample.key, sample);
    if (this.#path !== undefined) appendFileSync(this.#path, `${JSON.stringify(sample)}\n`);
    if (this.count > this.#tolerated && this.count > this.#maxFraction * tried) {
      const percent = Math.round(this.#maxFraction * 100);
      const some = this.samples.slice(0, 3).map(({ key, reason }) => `"${key}": ${reason}`);
      const all = this.#path === undefined ? '' : `; ${this.#path} names them all`;
      throw new BantamError(
        `${this.count} of ${tried} samples are broken, more than ${percent} % (${some.join('; ')}; …)${all}. Repair or remove these files.`,
      );
    }
  }
}
