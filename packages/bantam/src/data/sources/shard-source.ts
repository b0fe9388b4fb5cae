import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { BantamError } from '../../base/errors.js';
import { photoAugment } from '../augment/presets.js';
import { cacheDirectory } from '../../base/cache-dir.js';
import { isSyntheticCaption } from './caption-file.js';
import { commonCaptionNames } from './captions.js';
import { folderTemplates } from './folder-source.js';
import { readLocation } from '../images/location.js';
import { openShardIndex, type ShardIndex, type ShardTexts } from './shard-index.js';
import { expandShards } from './shard-names.js';
import { checkQuery, type SourceSpec } from './spec.js';
import {
  plainCaptions,
  type DataRecord,
  type ImageLocation,
  type LabelSet,
  type OpenProgress,
  type Source,
} from './source.js';

/** Which texts of a sample say what. */
interface Fields {
  /** Extension of the member that is the caption. */
  readonly text: string;
  /** Field of the JSON member that is the caption, where one was named. */
  readonly caption: string | undefined;
  /** Field of the JSON member that is the label, where one was named. */
  readonly label: string | undefined;
  /** Names of the classes that `.cls` members count from 0, where a file with them was named. */
  readonly classes: readonly string[] | undefined;
}

/**
 * Opens tar shards in webdataset's layout: `wds:shards/{000..099}.tar`; see {@link expandShards}
 * for patterns. The image is the member `.jpg`, `.jpeg`, `.png` or `.webp`. Query, all optional:
 * `text` is the extension of the caption's member (`txt`), `caption` a field of `.json` instead, a
 * text or a list of texts, `label` a field of `.json` that is the class instead of `.cls`, and
 * `classes` a file with a class's name in each line, which `.cls` counts from 0. A list
 * `synthetic` of `.json` holds synthetic captions, as packing writes them.
 */
export async function openShards(
  spec: SourceSpec,
  { cacheDir = cacheDirectory(), onOpen }: { cacheDir?: string; onOpen?: OpenProgress },
): Promise<Source> {
  checkQuery(spec, ['text', 'caption', 'label', 'classes']);
  const { query } = spec;
  const fields = {
    text: (query.get('text') ?? 'txt').replace(/^\./, '').toLowerCase(),
    caption: query.get('caption'),
    label: query.get('label'),
    classes: await readClasses(query.get('classes')),
  };
  if (query.has('text') && fields.caption !== undefined) {
    throw new BantamError(`"${spec.text}" names both a text and a caption; name one of them.`);
  }
  const paths = await expandShards(spec.path);
  const shards: Shard[] = [];
  for (const [i, path] of paths.entries()) {
    const index = openShardIndex(path, cacheDir);
    shards.push({ path, index, samples: usable(index, fields) });
    onOpen?.({ what: path, done: i + 1, total: paths.length });
    // Scans block: signals and progress get their turn.
    await setImmediate();
  }
  const notes = shards.flatMap(notesOf);
  if (shards.every(({ samples }) => samples.length === 0)) {
    throw new BantamError(emptyMessage(spec, shards, fields));
  }
  return new ShardSource(spec.text, shards, { fields, notes });
}

interface Shard {
  readonly path: string;
  readonly index: ShardIndex;
  /** The samples of the index that have a caption or a label. */
  readonly samples: { readonly length: number; at(place: number): number };
}

class ShardSource implements Source {
  readonly captionTemplates = plainCaptions;
  readonly augment = photoAugment;
  readonly licences = [];
  readonly notes: readonly string[];
  readonly size: number;
  readonly labelSets: Readonly<Record<string, LabelSet>>;
  readonly #fields: Fields;
  readonly #shards: readonly Shard[];
  /** For each shard the number of its first record, and the number of all. */
  readonly #starts: readonly number[];

  constructor(
    readonly spec: string,
    shards: readonly Shard[],
    { fields, notes }: { fields: Fields; notes: readonly string[] },
  ) {
    this.#fields = fields;
    this.#shards = shards;
    this.notes = notes;
    const starts = [0];
    for (const { samples } of shards) starts.push((starts.at(-1) ?? 0) + samples.length);
    this.#starts = starts;
    this.size = starts.at(-1) ?? 0;
    const labelled =
      fields.label !== undefined || shards.some(({ index }) => (index.header.texts.cls ?? 0) > 0);
    this.labelSets = labelled ? { label: this.#labelSet() } : {};
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

  image(index: number): Promise<Uint8Array> {
    return readLocation(this.location(index));
  }

  #find(index: number): { shard: Shard; sample: number } {
    // The last shard that starts at or before the record.
    let low = 0;
    let high = this.#shards.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] ?? 0) <= index) low = middle;
      else high = middle;
    }
    const shard = this.#shards[low];
    const place = index - (this.#starts[low] ?? 0);
    if (shard === undefined || !(index >= 0) || place >= shard.samples.length) {
      throw new RangeError(`${this.spec} has no record ${index}`);
    }
    return { shard, sample: shard.samples.at(place) };
  }

  #labelSet(): LabelSet {
    const names = Array.from({ length: this.size }, (_, index) => this.record(index).label);
    const classes =
      this.#fields.classes ?? [...new Set(names.filter((name) => name !== undefined))].sort();
    const ids = new Map(classes.map((name, id) => [name, id]));
    const labels = Int32Array.from(names, (name) => ids.get(name ?? '') ?? -1);
    return { classes, templates: folderTemplates, labels };
  }
}

/** What a sample's texts say; no captions where there is neither a caption nor a label. */
function readSample(index: ShardIndex, sample: number, fields: Fields): DataRecord {
  const { key, members } = index.texts(sample);
  const json = parseObject(members.json);
  const label = fields.label === undefined ? members.cls?.trim() : textsOf(json[fields.label])[0];
  const named = label === undefined || label === '' ? undefined : className(label, fields);
  const captions = captionsOf(members, json, fields);
  const made = folderTemplates.map((template) => template.replace('{}', named ?? ''));
  const listed: unknown[] = Array.isArray(json.synthetic) ? json.synthetic : [];
  const synthetic = listed.filter(isSyntheticCaption);
  return {
    key,
    captions: captions.length > 0 ? captions : named === undefined ? [] : made,
    ...(synthetic.length > 0 && { synthetic }),
    ...(named !== undefined && { label: named }),
    meta: metaOf(json, [
      ...commonCaptionNames,
      fields.caption,
      json.label === label ? 'label' : fields.label,
    ]),
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
  const text = textsOf(members[fields.text]);
  if (text.length > 0) return text;
  return (
    commonCaptionNames.map((name) => textsOf(json[name])).find(({ length }) => length > 0) ?? []
  );
}

/** A text, or those of a list, without the empty ones. */
function textsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list
    .flatMap((text) => (typeof text === 'string' || typeof text === 'number' ? [String(text)] : []))
    .map((text) => text.trim())
    .filter((text) => text !== '');
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

async function readClasses(path: string | undefined): Promise<string[] | undefined> {
  if (path === undefined) return undefined;
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BantamError(
      `The file of class names "${path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'}); name an existing one after "classes=".`,
    );
  });
  return text.trim().split(/\r?\n/);
}

function usable(index: ShardIndex, fields: Fields): Shard['samples'] {
  const { [fields.text]: texts, cls } = index.header.texts;
  const { samples: length } = index;
  const all = fields.caption === undefined && (texts === length || cls === length);
  if (all) return { length, at: (place) => place };
  const chosen = Array.from({ length }, (_, sample) => sample).filter(
    (sample) => readSample(index, sample, fields).captions.length > 0,
  );
  return { length: chosen.length, at: (place) => chosen[place] ?? 0 };
}

/** What users should know about a shard. */
function notesOf({ path, index, samples }: Shard): string[] {
  const { damage, withoutImage } = index.header;
  const silent = index.samples - samples.length;
  const left = (count: number, what: string): string =>
    `${count} ${count === 1 ? 'sample' : 'samples'} of the shard "${path}" without ${what} ${count === 1 ? 'is' : 'are'} left out.`;
  return [
    ...(damage === undefined
      ? []
      : [
          `The shard "${path}" is damaged (${damage}): its first ${index.samples} whole samples are used; write it anew to have the others.`,
        ]),
    ...(withoutImage === 0 ? [] : [left(withoutImage, 'an image')]),
    ...(silent === 0 ? [] : [left(silent, 'a caption')]),
  ];
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
