import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import type { ImageLocation } from '../images/location.js';
import type { Source } from '../sources/source.js';
import { pickRecords } from '../sources/subset-source.js';
import { uniformOfKey } from './key-hash.js';

/** A source in two parts. */
export interface HeldOutSplit {
  readonly kept: Source;
  readonly heldOut: Source;
  /** Keys of the records that are held out, in the order of the source. */
  readonly keys: readonly string[];
}

/** Options of {@link heldOutKeys}. */
export interface HoldOutOptions {
  /** Fraction of the records, about. */
  readonly fraction: number;
}

/** Larger sources are not searched for files with equal bytes, which costs a look at every file. */
const mostCompared = 100_000;

/**
 * Keys of records to hold out, chosen by hashes of keys, so that the same records are chosen in any
 * order, on any machine, and after others are added. Records that belong together are on the same side:
 * those of one image, of one group of the source, and, unless most captions are shared as class names
 * are, those of one caption. A record whose image file equals one that stays is not held out.
 */
export async function heldOutKeys(
  source: Source,
  { fraction }: HoldOutOptions,
): Promise<readonly string[]> {
  const { keys, captions } = await readTexts(source);
  const groups = groupRecords(source, areOwn(captions) ? captions : []);
  const smallest = new Map<number, string>();
  for (const [i, key] of keys.entries()) {
    const group = at(groups, i);
    const before = smallest.get(group);
    if (before === undefined || key < before) smallest.set(group, key);
  }
  const chosen = new Set<number>();
  for (const [group, key] of smallest) {
    if (uniformOfKey(key, { seed: 0, purpose: 'held out' }) < fraction) chosen.add(group);
  }
  for (const group of await copiedGroups(source, groups, chosen)) chosen.delete(group);
  return keys.filter((_, i) => chosen.has(at(groups, i)));
}

/**
 * A source without some of its records, and these records as a source; both have the specification of the
 * whole. Keys that the source does not have are left out.
 *
 * @throws BantamError if one of the parts would be empty.
 */
export function splitByKeys(source: Source, keys: readonly string[]): HeldOutSplit {
  const wanted = new Set(keys);
  const held: number[] = [];
  const rest: number[] = [];
  const found: string[] = [];
  for (let i = 0; i < source.size; i++) {
    const { key } = source.record(i);
    if (!wanted.has(key)) rest.push(i);
    else {
      held.push(i);
      found.push(key);
    }
  }
  if (held.length === 0 || rest.length === 0) {
    throw new BantamError(
      `Of the ${source.size} records of "${source.spec}" ${held.length} would be held out; validate on other data with --validate SPEC, or set another validation.holdOut.`,
    );
  }
  const heldOut = pickRecords(source, Int32Array.from(held));
  return { kept: pickRecords(source, Int32Array.from(rest)), heldOut, keys: found };
}

/** Keys and first captions of all records. */
async function readTexts(source: Source): Promise<{ keys: string[]; captions: string[] }> {
  const keys: string[] = [];
  const captions: string[] = [];
  for (let i = 0; i < source.size; i++) {
    // Reading blocks: signals get their turn.
    if (i % 10_000 === 0) await setImmediate();
    const record = source.record(i);
    keys.push(record.key);
    captions.push(plain(record.captions[0]));
  }
  return { keys, captions };
}

/**
 * Number of the group of each record: that of the first record that belongs to it.
 *
 * @param captions Of all records; empty: they say nothing of what belongs together
 */
function groupRecords(source: Source, captions: readonly string[]): Int32Array {
  const parents = Int32Array.from({ length: source.size }, (_, i) => i);
  const rootOf = (index: number): number => {
    let root = index;
    while (at(parents, root) !== root) root = at(parents, root);
    for (let i = index; i !== root;) {
      const next = at(parents, i);
      parents[i] = root;
      i = next;
    }
    return root;
  };
  const first = new Map<string, number>();
  const join = (index: number, name: string): void => {
    const other = first.get(name);
    if (other === undefined) {
      first.set(name, index);
      return;
    }
    const [a, b] = [rootOf(index), rootOf(other)];
    parents[Math.max(a, b)] = Math.min(a, b);
  };
  const { grouping } = source;
  for (let i = 0; i < source.size; i++) {
    join(i, `image ${placeOf(source.location(i))}`);
    if (grouping !== undefined) join(i, `group ${at(grouping.groups, i)}`);
  }
  for (const [i, caption] of captions.entries()) {
    if (caption !== '') join(i, `caption ${caption}`);
  }
  return Int32Array.from(parents, (_, index) => rootOf(index));
}

function placeOf({ path, range, page }: ImageLocation): string {
  return `${path}\0${range?.offset ?? ''}\0${page?.row ?? ''}`;
}

function plain(caption = ''): string {
  return caption.normalize('NFC').trim().toLowerCase();
}

/** True if most records have a caption of their own, rather than the name of a class. */
export function hasOwnCaptions(source: Pick<Source, 'size' | 'record'>): boolean {
  return areOwn(Array.from({ length: source.size }, (_, i) => plain(source.record(i).captions[0])));
}

function areOwn(captions: readonly string[]): boolean {
  return new Set(captions).size > captions.length / 2;
}

/** The chosen groups with an image whose bytes a record that stays has, too. */
async function copiedGroups(
  source: Source,
  groups: Int32Array,
  chosen: ReadonlySet<number>,
): Promise<ReadonlySet<number>> {
  const copied = new Set<number>();
  if (source.size > mostCompared) return copied;
  const lengths: number[] = [];
  const heldLengths = new Set<number>();
  for (let i = 0; i < source.size; i++) {
    if (i % 10_000 === 0) await setImmediate();
    const length = bytesAt(source.location(i));
    lengths.push(length);
    if (length > 0 && chosen.has(at(groups, i))) heldLengths.add(length);
  }
  const groupsWith = new Map<string, Set<number>>();
  const digestsOf = new Map<number, string[]>();
  const staying: string[] = [];
  for (const isHeld of [true, false]) {
    for (const [i, length] of lengths.entries()) {
      const group = at(groups, i);
      if (chosen.has(group) !== isHeld || !heldLengths.has(length)) continue;
      const digest = await digestOf(source, i);
      if (!isHeld) staying.push(digest);
      else {
        groupsWith.set(digest, (groupsWith.get(digest) ?? new Set()).add(group));
        digestsOf.set(group, [...(digestsOf.get(group) ?? []), digest]);
      }
    }
  }
  // A group that stays after all takes the copies of its images with it.
  for (let digest = staying.pop(); digest !== undefined; digest = staying.pop()) {
    for (const group of groupsWith.get(digest) ?? []) {
      if (copied.has(group)) continue;
      copied.add(group);
      staying.push(...(digestsOf.get(group) ?? []));
    }
  }
  return copied;
}

/** Length of an image file; 0 if it is not one of its own, or not there. */
function bytesAt({ path, range, page, raw }: ImageLocation): number {
  if (page !== undefined || raw !== undefined) return 0;
  return range?.length ?? statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** SHA-256 of an image file; an unreadable one equals none. */
async function digestOf(source: Source, index: number): Promise<string> {
  try {
    return createHash('sha256')
      .update(await source.image(index))
      .digest('base64');
  } catch {
    return `unreadable ${index}`;
  }
}
