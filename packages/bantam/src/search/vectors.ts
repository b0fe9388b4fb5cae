import { BantamError } from '../base/errors.js';

/**
 * A vector scaled to length 1; itself if it has that length.
 *
 * @throws BantamError naming its owner if it has another width, values that are not finite, or no direction.
 */
export function unitVector(vector: Float32Array, width: number, owner: string): Float32Array {
  if (vector.length !== width) {
    throw new BantamError(
      `${owner} has a vector of ${vector.length} dimensions, and the index has ${width}; use the model that embedded the index.`,
    );
  }
  let sum = 0;
  for (const value of vector) sum += value * value;
  if (!Number.isFinite(sum)) {
    throw new BantamError(`${owner} has a vector with values that are not finite; embed it anew.`);
  }
  if (sum === 0) {
    throw new BantamError(`${owner} has a vector of zeros, which has no direction; embed it anew.`);
  }
  // Features of a model have this length up to rounding, and keep their bits.
  if (Math.abs(sum - 1) < 1e-4) return vector;
  const scale = 1 / Math.sqrt(sum);
  return vector.map((value) => value * scale);
}
