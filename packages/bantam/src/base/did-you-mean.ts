// Not by way of all of '@bantam/torch': data workers, which need none of it, get here as well.
import { nearest } from '@bantam/torch/nearest';

/** ` (did you mean "name"?)` for use within an error; empty if no known name resembles the word. */
export function didYouMean(word: string, known: readonly string[]): string {
  const name = nearest(word, known);
  return name === undefined ? '' : ` (did you mean "${name}"?)`;
}
