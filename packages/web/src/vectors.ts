/** A vector scaled to length 1, in float32. */
export function normalized(vector: ArrayLike<number>): Float32Array {
  const values = Float32Array.from(vector);
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return values.map((value) => value / Math.max(length, 1e-12));
}

/** The direction of the sum of vectors: their weighted mean, scaled to length 1. */
export function direction(
  vectors: readonly Float32Array[],
  weights: readonly number[] = vectors.map(() => 1),
): Float32Array {
  const [first = new Float32Array(0)] = vectors;
  const sum = new Float64Array(first.length);
  vectors.forEach((vector, row) => {
    const weight = weights[row];
    if (weight === undefined) throw new RangeError(`There is no weight for vector ${row}.`);
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + weight * (vector[i] ?? 0);
  });
  return normalized(sum);
}

/** The cosine of the angle between vectors of length 1. */
export function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}
