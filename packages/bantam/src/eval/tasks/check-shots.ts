import { at } from '../../base/at.js';
import type { Source } from '../../data/index.js';
import { checkShots, smallestClass } from '../probes/few-shot.js';
import { heldOut } from '../probes/probe-set.js';

/**
 * Refuses few-shot classification that would fail after the images are embedded.
 *
 * @param train Source of the training images.
 * @param isSplit True if a part of these images is for testing.
 * @throws BantamError for a class with fewer training images than shots.
 */
export function checkShotsOf(
  { labelSets }: Pick<Source, 'labelSets'>,
  { shots, isSplit }: { readonly shots: readonly number[]; readonly isSplit: boolean },
): void {
  for (const { classes, labels } of Object.values(labelSets)) {
    const sizes = new Int32Array(classes.length);
    for (const label of labels) if (label >= 0) sizes[label] = at(sizes, label) + 1;
    const training = sizes.map((size) => (isSplit ? size - heldOut(size) : size));
    checkShots(smallestClass(classes, training), shots);
  }
}
