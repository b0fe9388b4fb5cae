import { BantamError } from '../base/errors.js';

/** A picture that a search found. */
export interface Hit {
  readonly key: string;
  /** Cosine of the angle between query and picture. */
  readonly score: number;
  /** Place of the picture in the index. */
  readonly row: number;
}

export interface ImageIndexOptions {
  readonly keys: readonly string[];
  /** One row for each key, `width` values of which have length 1. */
  readonly features: Float32Array;
  readonly width: number;
}

/**
 * Embedded pictures that can be searched. It compares the query with every picture: for a hundred
 * thousand pictures that is still a matter of milliseconds.
 */
export class ImageIndex {
  readonly keys: readonly string[];
  readonly width: number;
  readonly #features: Float32Array;

  /** @throws BantamError when there are not as many rows as keys. */
  constructor({ keys, features, width }: ImageIndexOptions) {
    if (features.length !== keys.length * width) {
      throw new BantamError(
        `There are ${keys.length} keys for ${features.length / width} embedded pictures; embed them anew.`,
      );
    }
    this.keys = keys;
    this.width = width;
    this.#features = features;
  }

  get size(): number {
    return this.keys.length;
  }

  /** The k pictures closest to a vector of length 1, best first; of equals the first in the index. */
  nearest(vector: Float32Array, k: number): Hit[] {
    if (vector.length !== this.width) {
      throw new BantamError(
        `The query has ${vector.length} dimensions and the pictures ${this.width}; search with the model that embedded them.`,
      );
    }
    const scores = this.#scores(vector);
    const best: number[] = [];
    for (let row = 0; row < scores.length; row++) {
      const score = scores[row] ?? 0;
      const last = best.at(-1);
      if (best.length === k && last !== undefined && score <= (scores[last] ?? 0)) continue;
      let place = best.length;
      while (place > 0 && score > (scores[best[place - 1] ?? 0] ?? 0)) place--;
      best.splice(place, 0, row);
      if (best.length > k) best.pop();
    }
    return best.map((row) => ({ key: this.keys[row] ?? '', score: scores[row] ?? 0, row }));
  }

  #scores(vector: Float32Array): Float32Array {
    const scores = new Float32Array(this.size);
    for (let row = 0, at = 0; row < scores.length; row++) {
      let sum = 0;
      for (const value of vector) sum += value * (this.#features[at++] ?? 0);
      scores[row] = sum;
    }
    return scores;
  }
}
