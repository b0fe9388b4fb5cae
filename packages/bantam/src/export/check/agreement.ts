/** How near two lists of features are. */
import { at } from '@bantam/torch';

/** Agreement of features with Bantam's own. */
export interface Agreement {
  /** Largest difference of an element of two features of length 1. */
  readonly largestDifference: number;
  /** Least cosine between a feature and Bantam's. */
  readonly leastCosine: number;
}

/** Agreement of rows of length 1, D numbers each. NaN stays NaN. */
export function agreementOf(found: Float32Array, wanted: Float32Array, width: number): Agreement {
  let largestDifference = 0;
  let leastCosine = 1;
  for (let start = 0; start < wanted.length; start += width) {
    let cosine = 0;
    for (let i = start; i < start + width; i++) {
      const [a, b] = [at(found, i), at(wanted, i)];
      cosine += a * b;
      largestDifference = Math.max(largestDifference, Math.abs(a - b));
    }
    leastCosine = Math.min(leastCosine, cosine);
  }
  return { largestDifference, leastCosine };
}
