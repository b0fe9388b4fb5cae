import { at } from '../../base/at.js';
import { BantamError, UsageError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';
import type { LabelSet } from '../../data/index.js';
import { readImageNet } from './label-data.js';
import { imagenetTemplates } from './templates.js';

/** Sets of classes that go by a name: ImageNet's 1000 classes, and parts of them. */
export const imagenetSets = ['imagenet', 'imagenet-a', 'imagenet-r'] as const;
export type ImageNetSet = (typeof imagenetSets)[number];

/** One of ImageNet's classes. */
export interface ImageNetClass {
  /** 0 … 999, in the order of the WordNet ids. */
  readonly number: number;
  readonly wordnetId: string;
  /** The name that CLIP's authors gave it. */
  readonly name: string;
}

let known: ReturnType<typeof readImageNet> | undefined;

/** The classes of a set, in the order of their numbers. */
export function imagenetClasses(set: ImageNetSet = 'imagenet'): ImageNetClass[] {
  known ??= readImageNet();
  const { classes, subsets } = known;
  const numbers = set === 'imagenet' ? classes.map((_, number) => number) : subsets[set];
  return numbers.map((number) => {
    const [wordnetId = '', ...words] = at(classes, number).split(' ');
    return { number, wordnetId, name: words.join(' ') };
  });
}

/** @throws UsageError for an unknown name. */
export function parseImageNetSet(name: string): ImageNetSet {
  const found = imagenetSets.find((set) => set === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `There are no classes "${name}"${didYouMean(name, imagenetSets)}; choose from ${imagenetSets.join(', ')}, or name an existing file.`,
  );
}

const wordnetId = /^n\d{8}$/;

/**
 * Gives classes of ImageNet their names and numbers. The labels of the data may be WordNet ids
 * (`n01440764`), numbers (`0` … `999`, as ImageNet-V2's folders: text order is not their order) or
 * the names themselves.
 *
 * @param set The classes to choose among. By default, if all labels are WordNet ids, the set that
 * has exactly these classes, else these classes alone; other labels stay unchanged.
 * @throws BantamError for a label that is none of the set's classes.
 */
export function imagenetLabels(labelSet: LabelSet, set?: ImageNetSet): LabelSet {
  if (set === undefined && !labelSet.classes.every((name) => wordnetId.test(name))) return labelSet;
  const all = imagenetClasses();
  const byLabel = new Map<string, number>();
  for (const { name, number } of all) byLabel.set(name, number);
  for (const { number, wordnetId: id } of all) byLabel.set(id, number).set(String(number), number);
  const numbers = labelSet.classes.map((label) => byLabel.get(label) ?? byLabel.get(spaced(label)));
  const chosen = set ?? sameSet(numbers);
  const present = [...new Set(numbers)].filter((number) => number !== undefined);
  const classes =
    chosen === undefined
      ? present.sort((a, b) => a - b).map((number) => at(all, number))
      : imagenetClasses(chosen);
  const idOf = new Map(classes.map(({ number }, id) => [number, id]));
  const ids = numbers.map((number, label) => {
    const id = number === undefined ? undefined : idOf.get(number);
    if (id !== undefined) return id;
    throw new BantamError(
      `The class "${at(labelSet.classes, label)}" is none of ${chosen ?? 'ImageNet'}'s ${classes.length} classes; name the classes that the data have, or leave them to the data.`,
    );
  });
  return {
    classes: classes.map(({ name }) => name),
    templates: imagenetTemplates,
    labels: labelSet.labels.map((label) => (label < 0 ? -1 : at(ids, label))),
  };
}

/** The set whose names are exactly these classes, in their order; undefined if they are others. */
export function imagenetSetOf(classes: readonly string[]): ImageNetSet | undefined {
  return imagenetSets.find((set) => {
    const wanted = imagenetClasses(set);
    return wanted.length === classes.length && wanted.every(({ name }, id) => name === classes[id]);
  });
}

function spaced(label: string): string {
  return label.replaceAll(/[_-]+/g, ' ').trim();
}

/** The set whose classes are exactly these. */
function sameSet(numbers: readonly (number | undefined)[]): ImageNetSet | undefined {
  const given = new Set(numbers);
  return imagenetSets.find((set) => {
    const wanted = imagenetClasses(set);
    return wanted.length === given.size && wanted.every(({ number }) => given.has(number));
  });
}
