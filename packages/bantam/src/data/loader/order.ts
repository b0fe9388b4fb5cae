import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { CounterRng } from '../counter-rng.js';
import type { Grouping, Source } from '../sources/source.js';

/** A position in the endless stream of samples. */
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
 * The records that an epoch visits, in order: one sampled from each group if the source has
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
      : sampleMembers(grouping, new CounterRng({ seed, purpose: 'group member', epoch }));
  return new CounterRng({ seed, purpose: 'order', epoch }).shuffle(order);
}

/**
 * One member of each group, by weight: the member with the least E/w, for E exponentially
 * distributed, is sampled with probability w / Σw (Efraimidis and Spirakis, 2006).
 */
function sampleMembers({ groups, count, weights }: Grouping, rng: CounterRng): Int32Array {
  const members = new Int32Array(count);
  const least = new Float64Array(count).fill(Infinity);
  for (const [record, group] of groups.entries()) {
    const arrival =
      -Math.log(1 - rng.uniform()) / (weights === undefined ? 1 : at(weights, record));
    if (arrival < at(least, group)) {
      least[group] = arrival;
      members[group] = record;
    }
  }
  return members;
}

/** Candidates for a position of an epoch: its own record, then those half an epoch further. */
export class Candidates {
  #step = 0;

  constructor(
    readonly order: Int32Array,
    readonly position: number,
  ) {}

  get current(): number {
    const far = this.#step === 0 ? 0 : Math.floor(this.order.length / 2) + this.#step - 1;
    return at(this.order, (this.position + far) % this.order.length);
  }

  /** Moves on until the current record is not broken. */
  skip(broken: ReadonlySet<number>): void {
    while (broken.has(this.current)) {
      if (++this.#step > this.order.length) {
        throw new BantamError('Every sample of the data set is broken; see the quarantine.');
      }
    }
  }
}
