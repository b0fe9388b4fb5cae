import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { wilson } from '../statistics/intervals.js';
import type { ClassScore } from './classification.js';

/** Accuracy within groups of images, such as regions or incomes. */
export interface GroupScores {
  /** Field of the records' metadata whose values are the groups. */
  readonly field: string;
  /** Groups in the order of their names. */
  readonly groups: readonly ClassScore[];
  /** The group with the lowest accuracy, groups named `Other` left out as WILDS' FMoW does. */
  readonly worst: ClassScore;
}

/**
 * Accuracy in each group.
 *
 * @param hits 1 for each image that is classified right, else 0.
 * @param groups Group of each image; undefined: none, left out.
 * @throws BantamError if no image has a group.
 */
export function groupScores(
  field: string,
  hits: Uint8Array,
  groups: readonly (string | undefined)[],
): GroupScores {
  const counts = new Map<string, { hits: number; samples: number }>();
  groups.forEach((group, row) => {
    if (group === undefined) return;
    const count = counts.get(group) ?? { hits: 0, samples: 0 };
    count.hits += at(hits, row);
    count.samples++;
    counts.set(group, count);
  });
  const scores = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { hits: right, samples }]) => ({
      name,
      samples,
      recall: right / samples,
      interval: wilson(right, samples),
    }));
  const named = scores.filter(({ name }) => name !== 'Other');
  const [first, ...others] = named.length > 0 ? named : scores;
  if (first === undefined) {
    throw new BantamError(
      `No image has a value of "${field}" in its metadata; name a field that the data have.`,
    );
  }
  const worst = others.reduce((low, score) => (score.recall < low.recall ? score : low), first);
  return { field, groups: scores, worst };
}
