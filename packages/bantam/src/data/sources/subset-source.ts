import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { samplesPerEpoch } from '../loader/order.js';
import { readSubset } from '../select/subset-file.js';
import { NoteBook } from './notes.js';
import type { Grouping, LabelSet, MixturePart, Source } from './source.js';
import type { SourceSpec } from './spec.js';

/**
 * Limits a source to the keys of the files that its specification names: `subset=FILE`; several
 * files leave the keys that all of them have. The records keep the source's order, and no data are
 * rewritten.
 *
 * @throws BantamError as {@link subsetOf} and `readSubset`.
 */
export async function limitToSubsets(
  source: Source,
  { text, subsets }: Pick<SourceSpec, 'text' | 'subsets'>,
): Promise<Source> {
  let limited = source;
  for (const file of subsets) {
    const { keys, header } = await readSubset(file);
    limited = subsetOf(limited, keys, { name: `"${file}"`, spec: text, data: header?.data });
  }
  return limited;
}

export interface SubsetOptions {
  /** Name of the subset in notes and errors; "the subset" by default. */
  readonly name?: string;
  /** Specification of the result; the source's by default. */
  readonly spec?: string;
  /** Specification of the data that the keys were chosen from, for errors. */
  readonly data?: string | undefined;
}

/**
 * The records of a source with these keys, in the order of the source: a source as any other, with
 * random access and the same classes. Its notes count the records that are left out and the keys
 * that the source does not have. Groups without a member vanish.
 *
 * @throws BantamError when the source has none of the keys.
 */
export function subsetOf(
  source: Source,
  keys: ReadonlySet<string>,
  { name = 'the subset', spec = source.spec, data }: SubsetOptions = {},
): Source {
  const found: number[] = [];
  const present = new Set<string>();
  for (let i = 0; i < source.size; i++) {
    const { key } = source.record(i);
    if (!keys.has(key)) continue;
    found.push(i);
    present.add(key);
  }
  const [first = ''] = keys;
  if (found.length === 0) {
    const made = data === undefined ? '' : `, made for "${data}",`;
    throw new BantamError(
      `None of the ${keys.size} keys of ${name}${made} is in "${source.spec}": they are called as "${first}", those of the data as "${source.record(0).key}"; select from these data anew.`,
    );
  }
  const notes = new NoteBook();
  for (const key of keys) {
    if (!present.has(key)) notes.changed('key', `of ${name} without a record in the data`, key);
  }
  const left = source.size - found.length;
  notes.info(`${name} keeps ${found.length} of ${source.size} records and leaves out ${left}.`);
  const picked = pickRecords(source, Int32Array.from(found));
  return { ...picked, spec, notes: [...(source.notes ?? []), ...notes.notes] };
}

/** Some records of a source, in their order there, as a source with its notes and specification. */
export function pickRecords(source: Source, indices: Int32Array): Source {
  const { spec, notes, captionTemplates, augment, licences } = source;
  const indexOf = (index: number): number => {
    const own = indices[index];
    if (own === undefined) throw new RangeError(`${spec} has no record ${index}`);
    return own;
  };
  return {
    spec,
    size: indices.length,
    labelSets: pickLabels(source.labelSets, indices),
    captionTemplates,
    augment,
    ...pickOrder(source, indices),
    licences,
    ...(notes && { notes }),
    record: (index) => source.record(indexOf(index)),
    location: (index) => source.location(indexOf(index)),
    image: (index) => source.image(indexOf(index)),
  };
}

function pickLabels(
  labelSets: Readonly<Record<string, LabelSet>>,
  indices: Int32Array,
): Record<string, LabelSet> {
  const picked = Object.entries(labelSets).map(([name, set]) => {
    const labels = indices.map((index) => at(set.labels, index));
    const { several } = set;
    const kept = several && Array.from(indices, (index) => at(several, index));
    return [name, { ...set, labels, ...(kept && { several: kept }) }] as const;
  });
  return Object.fromEntries(picked);
}

/** Groups, or sources of a mix, of some records. */
function pickOrder(
  { grouping, mixture }: Pick<Source, 'grouping' | 'mixture'>,
  indices: Int32Array,
): Pick<Source, 'grouping' | 'mixture'> {
  return {
    ...(grouping && { grouping: pickGroups(grouping, indices) }),
    ...(mixture && { mixture: pickParts(mixture, indices) }),
  };
}

/**
 * Sources of a mix that have records left. If an epoch of the mix visited every sample once, so
 * does one of the subset; else the sources keep their proportions.
 */
function pickParts(mixture: readonly MixturePart[], indices: Int32Array): MixturePart[] {
  let start = 0;
  const parts = mixture.flatMap((whole) => {
    const end = whole.start + whole.size;
    const own = indices.filter((index) => index >= whole.start && index < end);
    if (own.length === 0) return [];
    const part = {
      start,
      size: own.length,
      ...pickOrder(
        whole,
        own.map((index) => index - whole.start),
      ),
    };
    start += own.length;
    return [{ part, perPass: samplesPerEpoch(part), weight: whole.samples }];
  });
  const isEven = mixture.every((whole) => whole.samples === samplesPerEpoch(whole));
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  const total = sum(parts.map(({ perPass }) => perPass));
  const weights = sum(parts.map(({ weight }) => weight));
  // Cumulative rounding keeps the total.
  let cumulative = 0;
  let before = 0;
  return parts.map(({ part, perPass, weight }) => {
    cumulative += weight;
    const until = Math.round((total * cumulative) / weights);
    const samples = isEven ? perPass : until - before;
    before = until;
    return { ...part, samples };
  });
}

function pickGroups({ groups, weights }: Grouping, indices: Int32Array): Grouping {
  const ids = new Map<number, number>();
  const picked = indices.map((index) => {
    const group = at(groups, index);
    const id = ids.get(group) ?? ids.size;
    ids.set(group, id);
    return id;
  });
  return {
    groups: picked,
    count: ids.size,
    ...(weights && { weights: Float32Array.from(indices, (index) => at(weights, index)) }),
  };
}
