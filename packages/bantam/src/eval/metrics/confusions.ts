import { at } from '../../base/at.js';
/** Images of one class that were taken for another; examples are rows, or the keys of records. */
export interface Confusion<Example = number> {
  readonly truth: string;
  readonly predicted: string;
  /** How many images. */
  readonly count: number;
  /** How many images the true class has. */
  readonly of: number;
  /** The first few of these images. */
  readonly examples: readonly Example[];
}

export interface ConfusionsInput {
  readonly classes: readonly string[];
  /** True class of each image; images with −1 are left out. */
  readonly labels: Int32Array;
  /** Class that each image was taken for. */
  readonly predicted: Int32Array;
  /** How many confusions, and examples of each, to return. */
  readonly keep?: { readonly pairs: number; readonly examples: number };
}

/**
 * The confusions that cost the most accuracy, worst first; among equals, those that take the larger
 * fraction of their true class come first.
 */
export function confusions(input: ConfusionsInput): Confusion[] {
  const { classes, labels, predicted, keep = { pairs: 20, examples: 8 } } = input;
  const sizes = new Int32Array(classes.length);
  const rowsOf = new Map<number, number[]>();
  labels.forEach((truth, row) => {
    if (truth < 0) return;
    sizes[truth] = at(sizes, truth) + 1;
    const guess = at(predicted, row);
    if (guess === truth) return;
    const pair = truth * classes.length + guess;
    const rows = rowsOf.get(pair);
    if (rows === undefined) rowsOf.set(pair, [row]);
    else rows.push(row);
  });
  return [...rowsOf]
    .map(([pair, rows]) => {
      const truth = Math.floor(pair / classes.length);
      return {
        truth: at(classes, truth),
        predicted: at(classes, pair % classes.length),
        count: rows.length,
        of: at(sizes, truth),
        examples: rows.slice(0, keep.examples),
      };
    })
    .sort((a, b) => b.count - a.count || a.of - b.of)
    .slice(0, keep.pairs);
}
