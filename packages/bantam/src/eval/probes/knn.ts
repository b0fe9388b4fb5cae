import { matmul, narrow, noGrad, normalize, scope, topk, transpose } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { ProbeSet } from './probe-set.js';

export interface NearestNeighboursInput {
  readonly train: ProbeSet;
  readonly test: ProbeSet;
  readonly classes: number;
  /** Numbers of neighbours; those above the number of training images are left out. 10, 20, 100 and 200 by default. */
  readonly k?: readonly number[];
  /** 0.07 by default. */
  readonly temperature?: number;
}

/** Accuracy with k neighbours. */
export interface NearestNeighboursScore {
  readonly k: number;
  readonly accuracy: number;
  /** Class that each test image was taken for. */
  readonly predicted: Int32Array;
}

/** Similarities that may exist at a time. */
const maxScores = 2 ** 22;

/**
 * Weighted nearest neighbours as DINO measures features (Caron et al. 2021, appendix F.1, after Wu
 * et al. 2018): the k training images with the highest cosine similarity s vote for their class with
 * weight exp(s/τ). Of equal votes the lower class is the answer.
 *
 * @throws BantamError if there are fewer training images than any k.
 */
export function nearestNeighbours(input: NearestNeighboursInput): NearestNeighboursScore[] {
  const { train, test, classes, temperature = 0.07 } = input;
  const { k = [10, 20, 100, 200] } = input;
  const items = train.labels.length;
  const used = k.filter((count) => count <= items);
  if (used.length === 0) {
    throw new BantamError(
      `There are ${items} training images, fewer than ${Math.min(...k)} neighbours; ask for fewer neighbours.`,
    );
  }
  const most = Math.max(...used);
  const predicted = used.map(() => new Int32Array(test.labels.length));
  noGrad(() => {
    scope(() => {
      const gallery = transpose(normalize(train.features), 0, 1);
      const queries = normalize(test.features);
      const step = Math.max(1, Math.floor(maxScores / items));
      for (let start = 0; start < test.labels.length; start += step) {
        const length = Math.min(step, test.labels.length - start);
        const near = scope(() => {
          const { values, indices } = topk(
            matmul(narrow(queries, 0, start, length), gallery),
            most,
          );
          return { scores: values.toArray(), rows: indices.toArray() };
        });
        for (let row = 0; row < length; row++) {
          const votes = new Float64Array(classes);
          for (let rank = 0; rank < most; rank++) {
            const place = row * most + rank;
            const label = at(train.labels, at(near.rows, place));
            votes[label] = at(votes, label) + Math.exp(at(near.scores, place) / temperature);
            const which = used.indexOf(rank + 1);
            if (which >= 0) at(predicted, which)[start + row] = votes.indexOf(Math.max(...votes));
          }
        }
      }
    });
  });
  return used.map((count, i) => {
    const answers = at(predicted, i);
    const hits = answers.filter((answer, row) => answer === at(test.labels, row)).length;
    return { k: count, accuracy: hits / answers.length, predicted: answers };
  });
}
