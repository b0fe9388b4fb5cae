import {
  fromTypedArray,
  logsumexp,
  matmul,
  mul,
  narrow,
  scope,
  sum,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { at } from '../base/at.js';
import { CounterRng } from '../data/index.js';

export interface NegClipLossOptions {
  /** Pairs that are compared with each other. */
  readonly batchSize: number;
  /** Random divisions into batches, whose scores are averaged. */
  readonly repetitions: number;
  readonly seed: number;
  /** τ: the model's temperature, exp(−logitScale). */
  readonly temperature: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Image and text features of some pairs, [n, D] each, float32, rows of length 1. */
export interface EmbeddedPairs {
  readonly image: Float32Array;
  readonly text: Float32Array;
}

/** Reads the features of these pairs. */
export type ReadPairs = (indices: Int32Array) => EmbeddedPairs;

/** Rows whose logits are in memory at a time. */
const blockRows = 1024;

/**
 * negCLIPLoss of each pair (Wang et al. 2024, arXiv 2405.19547, section 3.1): its cosine less what
 * the other pairs of a batch explain,
 *
 *     s_ii − τ/2 · (log Σ_j exp(s_ij / τ) + log Σ_j exp(s_ji / τ)),
 *
 * averaged over random divisions of the pairs into batches of nearly equal size: −τ times the
 * pair's part of CLIP's loss. A caption that fits every image, such as "image", has a high cosine
 * and a low negCLIPLoss. At most `batchSize` pairs are one batch, and one division is then enough.
 *
 * The divisions are a pure function of the seed. Cost: 4 · repetitions · n · batchSize · D FLOPs.
 */
export async function negClipLoss(
  readPairs: ReadPairs,
  count: number,
  { batchSize, repetitions, seed, temperature, onProgress }: NegClipLossOptions,
): Promise<Float64Array> {
  const batches = Math.max(1, Math.ceil(count / batchSize));
  const divisions = batches === 1 ? 1 : repetitions;
  const scores = new Float64Array(count);
  for (let division = 0; division < divisions; division++) {
    const order = Int32Array.from({ length: count }, (_, index) => index);
    new CounterRng({ seed, purpose: 'negCLIPLoss', epoch: division }).shuffle(order);
    for (let batch = 0; batch < batches; batch++) {
      const start = Math.floor((batch * count) / batches);
      const end = Math.floor(((batch + 1) * count) / batches);
      const indices = order.slice(start, end).sort();
      const values = scope(() => batchScores(readPairs(indices), indices.length, temperature));
      for (const [i, index] of indices.entries()) {
        scores[index] = at(scores, index) + at(values, i) / divisions;
      }
      onProgress?.(division * count + end, divisions * count);
      await new Promise(setImmediate);
    }
  }
  return scores;
}

function batchScores(pairs: EmbeddedPairs, size: number, temperature: number): Float64Array {
  const shape = [size, pairs.image.length / size];
  const image = fromTypedArray(pairs.image, { shape });
  const text = fromTypedArray(pairs.text, { shape });
  const matching = sum(mul(image, text), { dim: 1 }).toTypedArray() as Float32Array;
  const ofImages = logSums(image, text, temperature);
  const ofTexts = logSums(text, image, temperature);
  return Float64Array.from(matching, (cosine, i) => {
    return cosine - (temperature / 2) * (at(ofImages, i) + at(ofTexts, i));
  });
}

/** log Σ_j exp(⟨x_i, y_j⟩ / τ) of each row x_i. */
function logSums(x: Tensor, y: Tensor, temperature: number): Float64Array {
  const sums = new Float64Array(x.dim(0));
  const columns = transpose(y, 0, 1);
  for (let start = 0; start < sums.length; start += blockRows) {
    const length = Math.min(blockRows, sums.length - start);
    const values = scope(() => {
      const logits = mul(matmul(narrow(x, 0, start, length), columns), 1 / temperature);
      return logsumexp(logits, { dim: 1 }).toTypedArray() as Float32Array;
    });
    sums.set(values, start);
  }
  return sums;
}
