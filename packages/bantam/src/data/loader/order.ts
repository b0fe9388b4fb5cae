import { Draws } from '../counter-rng.js';
import type { Grouping, Source } from '../sources/source.js';

/** A place in the endless stream of samples. */
export interface Position {
  readonly epoch: number;
  /** Samples of the epoch that lie before. */
  readonly position: number;
}

/** Samples that an epoch visits: all, or one of each group. */
export function samplesPerEpoch({ size, grouping }: Pick<Source, 'size' | 'grouping'>): number {
  return grouping?.count ?? size;
}

/**
 * The records that an epoch visits, in order: one drawn from each group where the source has
 * groups, shuffled. A pure function of (seed, epoch).
 */
export function epochOrder(
  { size, grouping }: Pick<Source, 'size' | 'grouping'>,
  seed: number,
  epoch: number,
): Int32Array {
  const order =
    grouping === undefined
      ? Int32Array.from({ length: size }, (_, index) => index)
      : drawMembers(grouping, new Draws({ seed, purpose: 'group member', epoch }));
  return new Draws({ seed, purpose: 'order', epoch }).shuffle(order);
}

/**
 * One member of each group, by weight: the member with the least E/w, for E exponentially
 * distributed, is drawn with probability w / Σw (Efraimidis and Spirakis, 2006).
 */
function drawMembers({ groups, count, weights }: Grouping, draws: Draws): Int32Array {
  const members = new Int32Array(count);
  const least = new Float64Array(count).fill(Infinity);
  for (const [record, group] of groups.entries()) {
    const arrival = -Math.log(1 - draws.uniform()) / (weights?.[record] ?? 1);
    if (arrival < (least[group] ?? 0)) {
      least[group] = arrival;
      members[group] = record;
    }
  }
  return members;
}
