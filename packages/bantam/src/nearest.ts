import { nearest } from '@bantam/torch';

/** ` (did you mean "name"?)` for use within an error; empty if nothing is known. */
export function didYouMean(word: string, known: readonly string[]): string {
  const name = nearest(word, known);
  return name === undefined ? '' : ` (did you mean "${name}"?)`;
}
