import { BantamError } from 'bantam/portable';
import type { SearchIndex } from '../types.js';
import { dot } from '../vectors.js';
import type { Found } from './protocol.js';

/** The images that are searched: those of the index, then those that were added. */
export class Collection {
  readonly #index: SearchIndex | undefined;
  readonly #added: Float32Array[] = [];

  constructor(index?: SearchIndex) {
    this.#index = index;
  }

  /** Images of the index. */
  get indexed(): number {
    return this.#index?.size ?? 0;
  }

  /** Adds an image's vector and returns its number. */
  add(vector: Float32Array): number {
    this.#added.push(vector);
    return this.indexed + this.#added.length - 1;
  }

  /** @throws BantamError if there is no image of that number. */
  vector(image: number): Float32Array {
    const vector = this.#index?.row(image) ?? this.#added[image - this.indexed];
    if (vector === undefined) throw new BantamError(`There is no image ${image}.`);
    return vector;
  }

  /** The k images closest to a vector of length 1, best first. */
  nearest(vector: Float32Array, k: number): Found[] {
    const indexed = this.#index?.nearest(vector, k) ?? [];
    const added = this.#added.map((each, i) => ({
      image: this.indexed + i,
      score: dot(each, vector),
    }));
    return [...indexed.map(({ row, score }) => ({ image: row, score })), ...added]
      .sort((a, b) => b.score - a.score)
      .slice(0, k);
  }
}
