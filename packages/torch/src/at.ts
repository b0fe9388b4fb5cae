/**
 * The element at an index that must exist; negative indices count from the end.
 *
 * Numeric kernels index directly: there a check in each step of a loop would cost.
 *
 * @throws RangeError if there is no such element.
 */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const position = index < 0 ? list.length + index : index;
  if (Number.isInteger(position) && position >= 0 && position < list.length) {
    return list[position] as T;
  }
  throw new RangeError(`There is no element ${index} in a list of ${list.length}.`);
}

/** A tuple of N numbers. */
type Tuple<N extends number, T extends readonly number[] = []> = number extends N
  ? readonly number[]
  : T['length'] extends N
    ? T
    : Tuple<N, readonly [...T, number]>;

/**
 * The sizes of a tensor that must have `rank` dimensions, as a tuple: `const [b, c, h] = dims(x, 3)`.
 *
 * @throws RangeError if it has another number of dimensions.
 */
export function dims<const N extends number>(
  { shape }: { readonly shape: readonly number[] },
  rank: N,
): Tuple<N> {
  if (shape.length === rank) return shape as unknown as Tuple<N>;
  throw new RangeError(
    `A tensor of ${rank} dimensions is needed, not one of shape [${shape.join(', ')}].`,
  );
}
