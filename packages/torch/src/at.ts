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
