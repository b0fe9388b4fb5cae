import sharp from 'sharp';
import { BantamError } from '../../../base/errors.js';
import { didYouMean } from '../../../base/did-you-mean.js';
import { emojiAugment } from '../../augment/presets.js';
import { hashText } from '../../counter-rng.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import type { CaptionTemplates, DataRecord, LabelSet, Source } from '../source.js';
import { readLocation } from '../../images/location.js';
import type { EmojiEntry, EmojiNames } from './names.js';
import { emojiBytes, noticeFile, openEmojiStore, pixelFile, type EmojiStore } from './store.js';
import { emojiSize, emojiStyles } from './styles.js';

/**
 * Training captions of an emoji. The name teaches retrieval by name, keywords tie rare
 * words to many images, and the words of the subgroup make a class name mean its members.
 */
export const emojiCaptions: CaptionTemplates = {
  templates: [
    { weight: 5, template: '{name}' },
    { weight: 3, template: '{name}, {tags:4}' },
    { weight: 2, template: '{tags:1} {tags:1}' },
    { weight: 1, template: '{tags:1} {subgroup}' },
    { weight: 2, template: '{name}, {subgroup}' },
    { weight: 1, template: 'an emoji of {name}' },
    { weight: 1, template: 'an emoji of {subgroup}, {group}' },
  ],
};

/** Prompts for subgroups and groups; they have the templates that {@link emojiCaptions} trains on. */
export const emojiTemplates: readonly string[] = ['{}', 'an emoji of {}'];

const splits = ['all', 'train', 'heldout'] as const;
const skins = ['all', 'default', 'toned'] as const;

/** Fraction of the concepts that no split for training holds, in any style or skin tone. */
const heldOutFraction = 0.05;

/**
 * The held-out concepts: a fixed choice by the hash of their code points. Concepts whose
 * name another one shares are never held out, as training on the other would tell about them.
 */
export function heldOutConcepts(names: EmojiNames): ReadonlySet<string> {
  const concepts = names.entries.filter(({ hexcode, concept }) => hexcode === concept);
  const uses = new Map<string, number>();
  for (const { name } of concepts)
    uses.set(name.toLowerCase(), (uses.get(name.toLowerCase()) ?? 0) + 1);
  return new Set(
    concepts
      .filter(({ name }) => uses.get(name.toLowerCase()) === 1)
      .filter(({ concept }) => hashText(`held out ${concept}`) / 2 ** 32 < heldOutFraction)
      .map(({ concept }) => concept),
  );
}

/**
 * Opens the emoji data set. Query of the specification, all optional: `style` names styles
 * (separated by commas), `split` is `all`, `train` (the in-distribution styles, without the held-out
 * concepts and the few images that an out-of-distribution style draws alike) or `heldout` (these concepts), `skin` is `all`, `default` or `toned`.
 *
 * An epoch visits each concept once, in one of its styles and, in half of the cases where there
 * are any, with a skin tone. So no batch holds a concept twice, and tones do not dominate.
 */
export async function openEmoji(spec: SourceSpec, cacheDir?: string): Promise<Source> {
  checkQuery(spec, ['style', 'split', 'skin']);
  const split = choice(spec, 'split', splits);
  const skin = choice(spec, 'skin', skins);
  const styles = chosenStyles(spec, split);
  const store = await openEmojiStore(cacheDir);
  const heldOut = heldOutConcepts(store.names);
  const excluded = split === 'train' ? outOfDistributionDigests(store) : new Set<string>();
  const images = styles
    .flatMap((style) => imagesOf(store, style))
    .filter(({ entry, digest }) => {
      if (excluded.has(digest)) return false;
      if (split !== 'all' && heldOut.has(entry.concept) !== (split === 'heldout')) return false;
      return skin === 'all' || (entry.skin === 'default') === (skin === 'default');
    });
  return new EmojiSource(spec.text, store, images);
}

function choice<T extends string>(spec: SourceSpec, key: string, known: readonly [T, ...T[]]): T {
  const value = spec.query.get(key) ?? known[0];
  const found = known.find((name) => name === value);
  if (found === undefined) throw unknownValue(spec, key, value, known);
  return found;
}

function chosenStyles(spec: SourceSpec, split: (typeof splits)[number]): string[] {
  const known = emojiStyles.map(({ name }) => name);
  const trained = emojiStyles.filter((style) => style.inDistribution).map(({ name }) => name);
  const chosen = spec.query.get('style')?.split(',');
  for (const name of chosen ?? []) {
    if (!known.includes(name)) throw unknownValue(spec, 'style', name, known);
    if (split === 'train' && !trained.includes(name)) {
      throw new BantamError(
        `Style "${name}" is kept out of training to test on, so "${spec.text}" is empty; split=train has ${trained.join(', ')}.`,
      );
    }
  }
  return chosen ?? (split === 'train' ? trained : known);
}

function unknownValue(spec: SourceSpec, key: string, value: string, known: readonly string[]) {
  return new BantamError(
    `"${spec.text}" asks for ${key} "${value}", which emoji data does not have${didYouMean(value, known)}; it has ${known.join(', ')}.`,
  );
}

/** An image: an entry in a style, and its row in the style's pixel file. */
interface Image {
  readonly style: string;
  readonly entry: EmojiEntry;
  readonly digest: string;
  readonly row: number;
}

function imagesOf(store: EmojiStore, style: string): Image[] {
  const entries = new Map(store.names.entries.map((entry) => [entry.hexcode, entry]));
  return (store.images.get(style) ?? []).flatMap(({ hexcode, digest }, row) => {
    const entry = entries.get(hexcode);
    return entry === undefined ? [] : [{ style, entry, digest, row }];
  });
}

function outOfDistributionDigests(store: EmojiStore): Set<string> {
  const others = emojiStyles.filter(({ inDistribution }) => !inDistribution);
  return new Set(others.flatMap(({ name }) => imagesOf(store, name)).map(({ digest }) => digest));
}

class EmojiSource implements Source {
  readonly captionTemplates = emojiCaptions;
  readonly augment = emojiAugment;
  readonly size: number;
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly grouping;
  readonly licences;
  readonly #directory: string;

  constructor(
    readonly spec: string,
    { directory, names }: EmojiStore,
    readonly images: readonly Image[],
  ) {
    this.#directory = directory;
    this.size = images.length;
    const labelSet = (classes: readonly string[], of: (entry: EmojiEntry) => string): LabelSet => ({
      classes,
      templates: emojiTemplates,
      labels: Int32Array.from(images, ({ entry }) => classes.indexOf(of(entry))),
    });
    this.labelSets = {
      subgroup: labelSet(names.subgroups, ({ subgroup }) => subgroup),
      group: labelSet(names.groups, ({ group }) => group),
    };
    this.grouping = groupByConcept(images);
    const used = new Set(images.map(({ style }) => style));
    this.licences = emojiStyles
      .filter(({ name }) => used.has(name))
      .map(({ name, licence, attribution }) => {
        return { part: name, licence, attribution, path: noticeFile(directory, name) };
      });
  }

  record(index: number): DataRecord {
    const { style, entry } = this.#image(index);
    const { hexcode, concept, name, tags, group, subgroup, skin } = entry;
    return {
      key: `${style}/${hexcode.toLowerCase()}`,
      captions: [name],
      label: subgroup,
      meta: { style, hexcode, concept, name, tags: tags.join(', '), group, subgroup, skin },
    };
  }

  location(index: number) {
    const { style, row } = this.#image(index);
    return {
      path: pixelFile(this.#directory, style),
      range: { offset: row * emojiBytes, length: emojiBytes },
      raw: { width: emojiSize, height: emojiSize },
    };
  }

  async image(index: number): Promise<Uint8Array> {
    const location = this.location(index);
    const raw = { ...location.raw, channels: 3 as const };
    return sharp(await readLocation(location), { raw })
      .png()
      .toBuffer();
  }

  #image(index: number): Image {
    const image = this.images[index];
    if (image === undefined) throw new RangeError(`${this.spec} has no record ${index}`);
    return image;
  }
}

/** Groups by concept; within a style, half of the chance is the default skin's. */
function groupByConcept(images: readonly Image[]) {
  const groupOf = new Map<string, number>();
  const toned = new Map<string, number>();
  const cell = ({ style, entry }: Image): string => `${style} ${entry.concept}`;
  for (const image of images) {
    const { concept, skin } = image.entry;
    if (!groupOf.has(concept)) groupOf.set(concept, groupOf.size);
    if (skin !== 'default') toned.set(cell(image), (toned.get(cell(image)) ?? 0) + 1);
  }
  return {
    groups: Int32Array.from(images, ({ entry }) => groupOf.get(entry.concept) ?? 0),
    count: groupOf.size,
    weights: Float32Array.from(images, (image) => {
      const tones = toned.get(cell(image)) ?? 0;
      if (tones === 0) return 2;
      return image.entry.skin === 'default' ? 1 : 1 / tones;
    }),
  };
}

/** An evaluation that the emoji data set is made for. */
export interface EmojiEvaluation {
  readonly name: string;
  readonly spec: string;
}

/** Every style with default skins, out-of-distribution ones last, and the held-out concepts. */
export const emojiEvaluations: readonly EmojiEvaluation[] = [
  ...emojiStyles
    .filter(({ inDistribution }) => inDistribution)
    .map(({ name }) => ({ name, spec: `emoji?style=${name}&skin=default` })),
  {
    name: 'held-out concepts',
    spec: `emoji?split=heldout&style=${emojiStyles
      .filter(({ inDistribution }) => inDistribution)
      .map(({ name }) => name)
      .join(',')}&skin=default`,
  },
  ...emojiStyles
    .filter(({ inDistribution }) => !inDistribution)
    .map(({ name }) => ({ name, spec: `emoji?style=${name}&skin=default` })),
];
