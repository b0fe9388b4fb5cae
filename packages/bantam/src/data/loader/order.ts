import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { CounterRng } from '../counter-rng.js';
import type { Grouping, MixturePart, Source } from '../sources/source.js';

/** A position in the endless stream of samples. */
export interface Position {
  readonly epoch: number;
  /** Samples of the epoch that lie before. */
  readonly position: number;
}

/** One of the parts into which every batch is divided among processes. */
export interface BatchPart {
  /** Number of this part, 0 … count − 1. */
  readonly index: number;
  readonly count: number;
}

/** The rows of a batch of `size` that a part has; parts differ by one row at most. */
export function rowsOfPart(
  size: number,
  { index, count }: BatchPart,
): { readonly start: number; readonly length: number } {
  const start = Math.floor((index * size) / count);
  return { start, length: Math.floor(((index + 1) * size) / count) - start };
}

/** Parts of a source that its order depends on. */
type Ordered = Pick<Source, 'size' | 'grouping' | 'mixture'>;

/** Samples that an epoch visits: all, one of each group, or what a mix takes of its sources. */
export function samplesPerEpoch({ size, grouping, mixture }: Ordered): number {
  if (mixture !== undefined) return mixture.reduce((sum, { samples }) => sum + samples, 0);
  return grouping?.count ?? size;
}

/**
 * The records that an epoch visits, in order: one sampled from each group if the source has
 * groups, so many of each source of a mix, shuffled. A pure function of (seed, epoch).
 *
 * @param stream Names an independent order of the same seed.
 */
export function epochOrder(
  { size, grouping, mixture }: Ordered,
  seed: number,
  epoch: number,
  stream = '',
): Int32Array {
  const order =
    mixture !== undefined
      ? mixtureMembers(mixture, { seed, epoch, stream })
      : grouping === undefined
        ? Int32Array.from({ length: size }, (_, index) => index)
        : sampleMembers(
            grouping,
            new CounterRng({ seed, purpose: `group member${stream}`, epoch }),
          );
  return new CounterRng({ seed, purpose: `order${stream}`, epoch }).shuffle(order);
}

/**
 * What an epoch takes of each source of a mix: the next samples of the source's own endless passes, so
 * that each of its samples comes once before any comes again.
 */
function mixtureMembers(
  mixture: readonly MixturePart[],
  { seed, epoch, stream }: { seed: number; epoch: number; stream: string },
): Int32Array {
  const members = new Int32Array(samplesPerEpoch({ size: 0, mixture }));
  let filled = 0;
  for (const [i, share] of mixture.entries()) {
    const perPass = samplesPerEpoch(share);
    let pass = Math.floor((epoch * share.samples) / perPass);
    let position = epoch * share.samples - pass * perPass;
    for (let left = share.samples; left > 0;) {
      const order = epochOrder(share, seed, pass, `${stream}/${i}`);
      const taken = order.subarray(position, position + left);
      members.set(
        taken.map((record) => share.start + record),
        filled,
      );
      filled += taken.length;
      left -= taken.length;
      [pass, position] = [pass + 1, 0];
    }
  }
  return members;
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
