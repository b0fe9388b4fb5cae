import { at, BantamError } from 'bantam/portable';
import type { SearchHit, SearchIndex } from './types.js';

export interface ImageIndexOptions {
  readonly keys: readonly string[];
  /** One row for each key, `width` values of which have length 1. */
  readonly features: Float32Array;
  readonly width: number;
}

/**
 * Embedded images that can be searched. It compares the query with every image: for a hundred
 * thousand images that is still a matter of milliseconds.
 */
export class ImageIndex implements SearchIndex {
  readonly keys: readonly string[];
  readonly width: number;
  /** One row for each key, {@link width} values of which have length 1. */
  readonly features: Float32Array;

  /** @throws BantamError when there are not as many rows as keys. */
  constructor({ keys, features, width }: ImageIndexOptions) {
    if (features.length !== keys.length * width) {
      throw new BantamError(
        `There are ${keys.length} keys for ${features.length / width} embedded images; embed them anew.`,
      );
    }
    this.keys = keys;
    this.width = width;
    this.features = features;
  }

  get size(): number {
    return this.keys.length;
  }

  /** An image's vector; undefined where there is no such row. */
  row(row: number): Float32Array | undefined {
    if (!(row >= 0 && row < this.size)) return undefined;
    return this.features.subarray(row * this.width, (row + 1) * this.width);
  }

  /** The k images closest to a vector of length 1, best first; of equals the first in the index. */
  nearest(vector: Float32Array, k: number): SearchHit[] {
    if (vector.length !== this.width) {
      throw new BantamError(
        `The query has ${vector.length} dimensions and the images ${this.width}; search with the model that embedded them.`,
      );
    }
    const scores = this.#scores(vector);
    const best: number[] = [];
    for (let row = 0; row < scores.length; row++) {
      const score = at(scores, row);
      const last = best.at(-1);
      if (best.length === k && last !== undefined && score <= at(scores, last)) continue;
      let rank = best.length;
      while (rank > 0 && score > at(scores, at(best, rank - 1))) rank--;
      best.splice(rank, 0, row);
      if (best.length > k) best.pop();
    }
    return best.map((row) => ({ key: at(this.keys, row), score: at(scores, row), row }));
  }

  #scores(vector: Float32Array): Float32Array {
    const scores = new Float32Array(this.size);
    for (let row = 0, at = 0; row < scores.length; row++) {
      let sum = 0;
      for (const value of vector) sum += value * (this.features[at++] ?? 0);
      scores[row] = sum;
    }
    return scores;
  }
}
