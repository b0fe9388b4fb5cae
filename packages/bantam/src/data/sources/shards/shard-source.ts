import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { cacheDirectory } from '../../../base/cache-dir.js';
import { isSyntheticCaption } from '../caption-file.js';
import { commonCaptionNames, folderTemplates, textsOf } from '../captions.js';
import { readClassNames, readTemplates } from '../class-files.js';
import type { ImageLocation } from '../../images/location.js';
import { NoteBook, type SourceNote } from '../notes.js';
import { namedValues, parseArrayFields, type ArrayField } from './array-fields.js';
import { openShardIndex, type ShardIndex, type ShardTexts } from './shard-index.js';
import { expandFiles } from './shard-names.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import { labelSetOf, PhotoSource } from '../photo-source.js';
import type { DataRecord, LabelSet, OpenProgress, Source } from '../source.js';

/** Meaning of a sample's texts. */
interface Fields {
  /** Extension of the member that is the caption. */
  readonly text: string;
  /** Field of the JSON member that is the caption, where one was named. */
  readonly caption: string | undefined;
  /** Field of the JSON member that is the label, where one was named. */
  readonly label: string | undefined;
  /** Names of the classes that `.cls` members count from 0, from a file of names. */
  readonly classes: readonly string[] | undefined;
  /** Each line of the text is a caption, as in clip_benchmark's retrieval sets. */
  readonly lines: boolean;
  /** Names of the values of `.npy` members. */
  readonly arrays: readonly ArrayField[];
  /** `.npy` members have a value for each class, not 0 for those that the image shows. */
  readonly multiLabel: boolean;
  /** Prompts for the classes. */
  readonly templates: readonly string[];
}

/**
 * Opens tar shards in webdataset's layout: `wds:shards/{000..099}.tar`; see {@link expandFiles}
 * for patterns. The image is the member `.jpg`, `.jpeg`, `.png` or `.webp`. Query, all optional:
 * `text` is the extension of the caption's member (`txt`), `caption` a field of `.json` instead, a
 * text or a list of texts, `label` a field of `.json` that is the class instead of `.cls`, and
 * `classes` a file with a class's name in each line, which `.cls` counts from 0. By default that is
 * `classnames.txt` beside the shards or in the folder above, as clip_benchmark lays it out, and its
 * `zeroshot_classification_templates.txt` holds the prompts. A list `synthetic` of `.json` holds
 * synthetic captions, as {@link writeShards} writes them. `npy` names the values of `.npy` members,
 * which become metadata, see {@link parseArrayFields}; where `dataset_type.txt` is `multilabel`, they
 * are the classes of the image instead, as clip_benchmark writes them.
 */
export async function openShards(
  spec: SourceSpec,
  { cacheDir = cacheDirectory(), onOpen }: { cacheDir?: string; onOpen?: OpenProgress },
): Promise<Source> {
  checkQuery(spec, ['text', 'caption', 'label', 'classes', 'npy']);
  const { query } = spec;
  const notes = new NoteBook();
  const paths = await expandFiles(spec.path, { kind: spec.kind, extension: 'tar' });
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length > 0) throw new BantamError(missingMessage(missing, paths.length));
  const named = query.get('classes');
  const found = named ?? beside(paths, 'classnames.txt');
  const templates = beside(paths, 'zeroshot_classification_templates.txt');
  const kind = beside(paths, 'dataset_type.txt');
  const type = kind === undefined ? '' : (await readFile(kind, 'utf8')).trim().toLowerCase();
  const arrays = query.get('npy');
  const fields: Fields = {
    lines: type === 'retrieval',
    multiLabel: type === 'multilabel',
    arrays: arrays === undefined ? [] : parseArrayFields(arrays, spec.text),
    text: (query.get('text') ?? 'txt').replace(/^\./, '').toLowerCase(),
    caption: query.get('caption'),
    label: query.get('label'),
    classes: found === undefined ? undefined : await readClassNames(found, notes),
    templates: templates === undefined ? folderTemplates : await readTemplates(templates),
  };
  for (const file of [named === undefined ? found : undefined, templates]) {
    if (file !== undefined) notes.info(`"${file}" is used.`);
  }
  if (query.has('text') && fields.caption !== undefined) {
    throw new BantamError(`"${spec.text}" names both a text and a caption; name one of them.`);
  }
  const shards: Shard[] = [];
  for (const [i, path] of paths.entries()) {
    const index = openShardIndex(path, cacheDir);
    shards.push({ path, index, samples: usable(index, fields) });
    onOpen?.({ what: path, done: i + 1, total: paths.length });
    // Scans block: signals and progress get their turn.
    await setImmediate();
  }
  for (const shard of shards) noteShard(shard, notes);
  noteArrays(shards, fields, notes);
  if (shards.every(({ samples }) => samples.length === 0)) {
    throw new BantamError(emptyMessage(spec, shards, fields));
  }
  return new ShardSource(spec.text, shards, { fields, notes });
}

interface Shard {
  readonly path: string;
  readonly index: ShardIndex;
  /** The samples of the index that have a caption or a label. */
  readonly samples: { readonly length: number; at(position: number): number };
}

class ShardSource extends PhotoSource {
  readonly notes: readonly SourceNote[];
  readonly size: number;
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly #fields: Fields;
  readonly #shards: readonly Shard[];
  /** For each shard the number of its first record, and the number of all. */
  readonly #starts: readonly number[];

  constructor(
    spec: string,
    shards: readonly Shard[],
    { fields, notes }: { fields: Fields; notes: NoteBook },
  ) {
    super(spec);
    this.#fields = fields;
    this.#shards = shards;
    const starts = [0];
    for (const { samples } of shards) starts.push(at(starts, -1) + samples.length);
    this.#starts = starts;
    this.size = at(starts, -1);
    const labelled =
      fields.label !== undefined || shards.some(({ index }) => (index.header.texts.cls ?? 0) > 0);
    if (fields.multiLabel) this.labelSets = { label: this.#multiLabelSet() };
    else this.labelSets = labelled ? { label: this.#labelSet(notes) } : {};
    this.notes = notes.notes;
  }

  record(index: number): DataRecord {
    const { shard, sample } = this.#find(index);
    const { key, ...said } = readSample(shard.index, sample, this.#fields);
    return { key: `${shard.path.replace(/\.tar$/, '')}/${key}`, ...said };
  }

  location(index: number): ImageLocation {
    const { shard, sample } = this.#find(index);
    return { path: shard.path, range: shard.index.image(sample) };
  }

  #find(index: number): { shard: Shard; sample: number } {
    // The last shard that starts at or before the record.
    let low = 0;
    let high = this.#shards.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (at(this.#starts, middle) <= index) low = middle;
      else high = middle;
    }
    const shard = this.#shards[low];
    const position = index - at(this.#starts, low);
    if (shard === undefined || !(index >= 0) || position >= shard.samples.length) {
      throw this.missing(index);
    }
    return { shard, sample: shard.samples.at(position) };
  }

  #multiLabelSet(): LabelSet {
    const { classes = [], templates } = this.#fields;
    const several = Array.from({ length: this.size }, (_, index) => {
      const { shard, sample } = this.#find(index);
      return presentClasses(shard.index.texts(sample).members, this.#fields);
    });
    const most = Math.max(0, ...several.map((ids) => 1 + Math.max(-1, ...ids)));
    const names = Array.from({ length: Math.max(most, classes.length) }, (_, id) => classes[id]);
    return {
      classes: names.map((name, id) => name ?? String(id)),
      templates,
      labels: new Int32Array(this.size).fill(-1),
      several: several.map((ids) => Int32Array.from(ids)),
    };
  }

  #labelSet(notes: NoteBook): LabelSet {
    const { classes: listed, templates } = this.#fields;
    const names = Array.from({ length: this.size }, (_, index) => {
      const { shard, sample } = this.#find(index);
      return rawLabel(shard.index, sample, this.#fields);
    });
    if (listed === undefined) {
      const set = labelSetOf(names, templates);
      if (set.classes.length > 0 && set.classes.every((name) => /^\d+$/.test(name))) {
        notes.info(
          'The labels are numbers without names, so prompts hold numbers; name a file with classes=FILE.',
        );
      }
      return set;
    }
    const ids = new Map(listed.map((name, id) => [name, id] as const).reverse());
    const labels = Int32Array.from(names, (name, index) => {
      if (name === undefined) return -1;
      // By number, not by name: lists may hold a name twice.
      const id = /^\d+$/.test(name) ? Number(name) : ids.get(name);
      if (id !== undefined && id < listed.length) return id;
      notes.changed(
        'label',
        'that the list of classes lacks: read as none',
        this.record(index).key,
      );
      return -1;
    });
    return { classes: listed, templates, labels };
  }
}

/** A sample's label in its written form: a name, or a number in a list of classes. */
function rawLabel(
  index: ShardIndex,
  sample: number,
  fields: Pick<Fields, 'label'>,
): string | undefined {
  const { members } = index.texts(sample);
  const label =
    fields.label === undefined
      ? members.cls?.trim()
      : textsOf(parseObject(members.json)[fields.label])[0];
  return label === '' ? undefined : label;
}

/** The classes of an image with several: those whose value is not 0. */
function presentClasses(
  { npy }: ShardTexts['members'],
  { multiLabel }: Pick<Fields, 'multiLabel'>,
): number[] {
  if (!multiLabel) return [];
  return arrayOf(npy).flatMap((value, id) => (Number(value) === 0 ? [] : [id]));
}

/** The values of a `.npy` member, as the index of the shard has them. */
function arrayOf(npy: string | undefined): readonly (string | number | boolean)[] {
  return npy === undefined ? [] : (JSON.parse(npy) as (string | number | boolean)[]);
}

/** A sample's texts; no captions if there is neither a caption nor a label. */
function readSample(index: ShardIndex, sample: number, fields: Fields): DataRecord {
  const { key, members } = index.texts(sample);
  const json = parseObject(members.json);
  const label = rawLabel(index, sample, fields);
  const named = label === undefined ? undefined : className(label, fields);
  const captions = captionsOf(members, json, fields);
  const present = new Set(presentClasses(members, fields));
  const names = fields.classes?.filter((_, id) => present.has(id)) ?? [];
  const shown = named === undefined ? names : [named];
  const listed: unknown[] = Array.isArray(json.synthetic) ? json.synthetic : [];
  const synthetic = listed.filter(isSyntheticCaption);
  return {
    key,
    captions:
      captions.length > 0
        ? captions
        : shown.flatMap((name) =>
            fields.templates.map((template) => template.replaceAll('{}', () => name)),
          ),
    ...(synthetic.length > 0 && { synthetic }),
    ...(named !== undefined && { label: named }),
    meta: {
      ...(fields.arrays.length > 0 && namedValues(fields.arrays, arrayOf(members.npy))),
      // Packed shards keep the metadata apart, whatever its names.
      ...(isObject(json.meta)
        ? { ...metaOf({ key: json.key }, []), ...metaOf(json.meta, []) }
        : metaOf(json, [
            ...commonCaptionNames,
            fields.caption,
            json.label === label ? 'label' : fields.label,
          ])),
    },
  };
}

/** The fields that are one value, but for those that are known as something else. */
function metaOf(json: JsonObject, known: readonly (string | undefined)[]): DataRecord['meta'] {
  const facts = Object.entries(json).filter(
    ([name, value]) =>
      ['string', 'number', 'boolean'].includes(typeof value) && !known.includes(name),
  );
  return Object.fromEntries(facts.map(([name, value]) => [name, String(value)]));
}

/** The field or member that was asked for; else a list in `captions`, the text, a usual field. */
function captionsOf(members: ShardTexts['members'], json: JsonObject, fields: Fields): string[] {
  if (fields.caption !== undefined) return textsOf(json[fields.caption]);
  const listed = Array.isArray(json.captions) ? textsOf(json.captions) : [];
  if (listed.length > 0) return listed;
  const written = members[fields.text];
  const text = textsOf(fields.lines ? written?.split(/\r?\n/) : written);
  if (text.length > 0) return text;
  return (
    commonCaptionNames.map((name) => textsOf(json[name])).find(({ length }) => length > 0) ?? []
  );
}

type JsonObject = Readonly<Record<string, unknown>>;

/** The object that a member holds; an empty one where it holds none. */
function parseObject(text: string | undefined): JsonObject {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? (value as JsonObject) : {};
  } catch {
    return {};
  }
}

function className(label: string, { classes }: Fields): string {
  return (/^\d+$/.test(label) ? classes?.[Number(label)] : undefined) ?? label;
}

/** A file beside the shards, or in the folder above. */
function beside(paths: readonly string[], name: string): string | undefined {
  const [first] = paths;
  if (first === undefined) return undefined;
  const folder = dirname(first);
  return [join(folder, name), join(folder, '..', name)].find((path) => existsSync(path));
}

function missingMessage(missing: readonly string[], all: number): string {
  const [first = ''] = missing;
  if (all === 1) {
    return `The shard "${first}" cannot be read (no such file or folder); name existing files after "wds:".`;
  }
  const some = missing.slice(0, 10).map((path) => `"${path}"`);
  const more = missing.length > some.length ? ', …' : '';
  return `${missing.length} of ${all} shards are missing: ${some.join(', ')}${more}; get them, or name existing files after "wds:".`;
}

function usable(index: ShardIndex, fields: Fields): Shard['samples'] {
  const { [fields.text]: texts, cls } = index.header.texts;
  const { samples: length } = index;
  const named = fields.multiLabel ? index.header.texts.npy === length : texts === length || cls === length; // prettier-ignore
  if (named && fields.caption === undefined) return { length, at: (position) => position };
  const chosen = Array.from({ length }, (_, sample) => sample).filter((sample) =>
    fields.multiLabel
      ? index.texts(sample).members.npy !== undefined
      : readSample(index, sample, fields).captions.length > 0,
  );
  return { length: chosen.length, at: (position) => at(chosen, position) };
}

/** Notes what is left out or unusual in a shard. */
function noteShard({ path, index, samples }: Shard, notes: NoteBook): void {
  const { damage, withoutImage, joined, duplicates, apart, skipped } = index.header;
  const repeat = (count: number, note: () => void): void => {
    for (let i = 0; i < count; i++) note();
  };
  if (damage !== undefined) {
    const used =
      index.samples === 0
        ? 'none of its samples is'
        : index.samples === 1
          ? 'its first whole sample is'
          : `its first ${index.samples} whole samples are`;
    notes.info(
      `The shard "${path}" is damaged (${damage}): ${used} used; write it anew to have the others.`,
    );
  }
  if (joined > 0) {
    notes.info(
      `The shard "${path}" is ${joined + 1} archives joined end to end; all of them are read.`,
    );
  }
  const thing = `sample of the shard "${path}"`;
  repeat(withoutImage, () => {
    notes.leftOut(thing, 'without an image');
  });
  repeat(index.samples - samples.length, () => {
    notes.leftOut(thing, 'without a caption');
  });
  repeat(skipped, () => {
    notes.leftOut(`member of the shard "${path}"`, 'that is neither a file nor a link to one');
  });
  repeat(duplicates, () => {
    notes.changed(thing, 'with the name of an earlier one: its key has a number');
  });
  repeat(apart, () => {
    notes.changed(thing, 'of which the files do not follow each other: put together by name');
  });
}

/** Notes arrays that cannot be read, and those whose values have no names. */
function noteArrays(shards: readonly Shard[], fields: Fields, notes: NoteBook): void {
  for (const { path, index } of shards) {
    const { brokenArrays, arrayFault = '' } = index.header;
    if (brokenArrays === 0 || (fields.arrays.length === 0 && !fields.multiLabel)) continue;
    const which =
      brokenArrays === 1 ? 'A .npy member' : `${brokenArrays} .npy members, the first of them`;
    notes.info(
      `${which} of the shard "${path}" cannot be read (${arrayFault}): the metadata are left out.`,
    );
  }
  const hasArrays = shards.some(({ index }) => (index.header.texts.npy ?? 0) > 0);
  if (fields.multiLabel && !hasArrays) {
    throw new BantamError(
      'The data are multi-label by their dataset_type.txt, but no sample has its classes in a .npy member; write the shards anew.',
    );
  }
  if (fields.arrays.length > 0 && !hasArrays) {
    notes.info('npy= names values of .npy members, but no sample has one that can be read.');
  }
  if (hasArrays && fields.arrays.length === 0 && !fields.multiLabel) {
    notes.info(
      'The .npy members are not used: name their values, in their order, with npy=NAME,NAME to have them as metadata.',
    );
  }
}

function emptyMessage(spec: SourceSpec, shards: readonly Shard[], fields: Fields): string {
  const damaged = shards.find(({ index }) => index.header.damage !== undefined);
  const images = shards.reduce((sum, { index }) => sum + index.samples, 0);
  if (images === 0 && damaged !== undefined) {
    return `The shard "${damaged.path}" holds no whole sample: ${damaged.index.header.damage ?? ''}.`;
  }
  if (images === 0) {
    return `"${spec.text}" holds no images (members .jpg, .jpeg, .png or .webp); name shards in webdataset's layout.`;
  }
  const wanted = fields.caption === undefined ? `.${fields.text}` : `"${fields.caption}" in .json`;
  const found = [...new Set(shards.flatMap(({ index }) => Object.keys(index.header.texts)))];
  const members =
    found.length === 0 ? 'no texts at all' : found.map((name) => `.${name}`).join(', ');
  return `None of the ${images} samples of "${spec.text}" has a caption (${wanted}); they have ${members}: choose with ?text=EXTENSION or ?caption=FIELD.`;
}
