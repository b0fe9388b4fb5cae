import { fromTypedArray, indexSelect, linear, scope, type Tensor } from '@bantam/torch';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import { mean } from '../base/statistics.js';
import { CounterRng } from '../data/index.js';
import type { VectorStore } from './store.js';
import { unitVector } from './vectors.js';

/** Part of a query: the vector of a text or of an image, by the model of the index. */
export interface QueryVector {
  readonly kind: 'text' | 'image';
  readonly vector: Float32Array;
  /** 1 by default; negative for what the results shall not be like. */
  readonly weight?: number;
}

/** Most images, and most queries, of the sample by which queries are scaled and cut off. */
const mostImages = 2048;
const mostQueries = 512;
/** Length of a sum of parts, as a fraction of that of the parts, below which rounding has made it. */
const cancelled = 1e-3;
/** Forms of queries whose chance scores are kept. */
const mostForms = 8;

/**
 * Queries in terms of an index: their parts scaled to be comparable, and the cosine above which a result is
 * no chance hit. Both rest on a sample of the index, chosen by a fixed seed.
 */
export class QueryScale {
  readonly #store: VectorStore;
  readonly #width: number;
  #sample: { readonly rows: Int32Array; readonly images: Tensor } | undefined;
  /** Ascending chance scores by the form of the query: the same for every text, for example. */
  readonly #chance = new Map<string, Float32Array>();

  constructor(store: VectorStore) {
    this.#store = store;
    this.#width = store.images.dim(1);
  }

  /**
   * The vector q of length 1 by which a query ranks images v. One part is its own vector. Several are
   * added as q ∝ Σ wᵢ·eᵢ/σᵢ, σᵢ the standard deviation of the cosines eᵢ·v over the sample: weights
   * then compare texts with images, whose cosines spread differently. "Not that" is a negative weight.
   *
   * @throws BantamError for a query without parts, with none of positive weight, or with vectors that are
   * not finite or of another width.
   */
  combine(parts: readonly QueryVector[], name = 'The query'): Float32Array {
    const used = parts.filter(({ weight = 1 }) => weight !== 0);
    if (!used.every(({ weight = 1 }) => Number.isFinite(weight))) {
      throw new BantamError(`${name} has a weight that is no finite number.`);
    }
    if (!used.some(({ weight = 1 }) => weight > 0)) {
      throw new BantamError(
        `${name} has no part of positive weight; say what to look for as well.`,
      );
    }
    const vectors = used.map(({ vector }) => unitVector(vector, this.#width, name));
    const [only] = vectors;
    if (only !== undefined && vectors.length === 1) return only;
    const sum = new Float32Array(this.#width);
    const deviations = this.#deviations(vectors);
    let added = 0;
    for (const [part, vector] of vectors.entries()) {
      const { weight = 1 } = at(used, part);
      const scale = weight / at(deviations, part);
      added += Math.abs(scale);
      for (let i = 0; i < sum.length; i++) sum[i] = at(sum, i) + scale * at(vector, i);
    }
    if (Math.hypot(...sum) < cancelled * added) {
      throw new BantamError(
        `${name} has parts that cancel each other; what is left are rounding errors. Change a weight.`,
      );
    }
    return unitVector(sum, this.#width, name);
  }

  /**
   * The cut-off of a query for a false-positive rate p: the (1 − p) quantile of the cosines between
   * images of the sample and random queries of the same form, in which every text is a random caption and
   * every image a random image of the index, with the same weights. An image that has nothing to do with
   * a query passes with probability p. Pairs of an image with its own caption or itself are left out.
   *
   * @throws BantamError if p is not between 0 and 1, or the index has no captions to stand for texts.
   */
  cutoff(parts: readonly QueryVector[], rate: number): number {
    if (!(rate > 0 && rate < 1)) {
      throw new BantamError(`A false-positive rate is above 0 and below 1, not ${rate}.`);
    }
    const form = JSON.stringify(parts.map(({ kind, weight = 1 }) => [kind, weight]));
    const scores = this.#chance.get(form) ?? this.#chanceScores(parts);
    if (this.#chance.size < mostForms) this.#chance.set(form, scores);
    if (scores.length * rate < 1) {
      throw new BantamError(
        scores.length === 0
          ? 'The index has too few images for a false-positive rate; search without one.'
          : `A false-positive rate of ${rate} cannot be told from ${scores.length} pairs of the index; take at least ${(1 / scores.length).toPrecision(1)}.`,
      );
    }
    // The rank'th highest of them.
    const rank = Math.floor(scores.length * rate);
    return at(scores, scores.length - rank);
  }

  dispose(): void {
    this.#sample?.images.dispose();
  }

  /** Cosines of random queries of a query's form with random images, ascending. */
  #chanceScores(parts: readonly QueryVector[]): Float32Array {
    const { rows, images } = this.#images();
    const { captions } = this.#store;
    if (captions === undefined && parts.some(({ kind }) => kind === 'text')) {
      throw new BantamError(
        'The index has no captions to tell chance hits of texts by; give a lowest score instead of a false-positive rate.',
      );
    }
    const count = Math.min(mostQueries, rows.length);
    // Each part of a random query comes from another record.
    const sources = parts.map(({ kind }, part) => {
      const chosen = Array.from({ length: count }, (_, query) =>
        at(rows, (query * 7 + 1 + part * 131) % rows.length),
      );
      return {
        chosen,
        from: kind === 'text' && captions !== undefined ? captions : this.#store.images,
      };
    });
    const vectors = sources.map(({ from, chosen }) => gather(from, chosen));
    const queries = new Float32Array(count * this.#width);
    for (let query = 0; query < count; query++) {
      const random = parts.map((part, index) => ({
        ...part,
        vector: at(vectors, index).subarray(query * this.#width, (query + 1) * this.#width),
      }));
      // A record without a caption has zeros, and makes no query.
      if (random.some(({ vector }) => vector.every((value) => value === 0))) continue;
      queries.set(this.combine(random), query * this.#width);
    }
    const scores = scope(() => {
      const q = fromTypedArray(queries, { shape: [count, this.#width] });
      return linear(q, images).toTypedArray() as Float32Array;
    });
    const captionOf = Array.from(rows, (row) => this.#store.record(row).caption);
    const slotOf = new Map(Array.from(rows, (row, slot) => [row, slot]));
    const chance: number[] = [];
    for (let query = 0; query < count; query++) {
      const slots = sources.map(({ chosen }) => slotOf.get(at(chosen, query)));
      const own = slots.map((slot) => (slot === undefined ? undefined : captionOf[slot]));
      for (let image = 0; image < rows.length; image++) {
        const score = at(scores, query * rows.length + image);
        const isOwn =
          slots.includes(image) ||
          own.some((text) => text !== undefined && text === captionOf[image]);
        if (score !== 0 && !isOwn) chance.push(score);
      }
    }
    return Float32Array.from(chance).sort();
  }

  /** Standard deviation of each vector's cosines over the sample. */
  #deviations(vectors: readonly Float32Array[]): number[] {
    const { images } = this.#images();
    const count = images.dim(0);
    if (count < 2) return vectors.map(() => 1);
    const scores = scope(() => {
      const queries = new Float32Array(vectors.length * this.#width);
      for (const [row, vector] of vectors.entries()) queries.set(vector, row * this.#width);
      const q = fromTypedArray(queries, { shape: [vectors.length, this.#width] });
      return linear(q, images).toTypedArray() as Float32Array;
    });
    return vectors.map((_, part) => {
      const own = scores.subarray(part * count, (part + 1) * count);
      const center = mean(own);
      const variance = mean(Array.from(own, (value) => (value - center) ** 2));
      // Images that are all alike tell nothing of a part's spread.
      return variance > 0 ? Math.sqrt(variance) : 1;
    });
  }

  #images(): { readonly rows: Int32Array; readonly images: Tensor } {
    if (this.#sample !== undefined) return this.#sample;
    const rows = sampleRows(this.#store, mostImages);
    const values = gather(this.#store.images, rows);
    const images = fromTypedArray(values, { shape: [rows.length, this.#width] });
    this.#sample = { rows, images };
    return this.#sample;
  }
}

/** Up to `most` distinct rows that are not removed, chosen by a fixed seed. */
export function sampleRows(
  store: Pick<VectorStore, 'rows' | 'isRemoved'>,
  most: number,
): Int32Array {
  const rng = new CounterRng({ seed: 1, purpose: 'search/sample', epoch: 0 });
  const chosen: number[] = [];
  let left = 0;
  for (let row = 0; row < store.rows; row++) {
    if (store.isRemoved(row)) continue;
    // Reservoir sampling: each row stays with the same probability.
    left++;
    if (chosen.length < most) chosen.push(row);
    else {
      const slot = rng.integer(left);
      if (slot < most) chosen[slot] = row;
    }
  }
  return Int32Array.from(chosen);
}

function gather(from: Tensor, rows: ArrayLike<number>): Float32Array {
  const index = BigInt64Array.from(Array.from(rows), BigInt);
  return scope(() => indexSelect(from, 0, fromTypedArray(index)).toTypedArray() as Float32Array);
}
