import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { isObject } from '../../base/schema.js';
import { textsOf } from './captions.js';
import { FileSource, type FileItem } from './folders/file-source.js';
import { describeNote, NoteBook } from './notes.js';
import type { Source } from './source.js';
import { checkQuery, type SourceSpec } from './spec.js';
import { decodeFile } from './tables/text-bytes.js';

/** V8 holds no longer text. */
const mostBytes = 2 ** 29 - 2 ** 24;

type JsonObject = Readonly<Record<string, unknown>>;

/** An image of an annotation file, with all of its captions. */
interface Annotated {
  readonly id: string;
  /** Path as the file has it. */
  readonly file: string;
  readonly captions: readonly string[];
  readonly split?: string;
}

/**
 * Opens an annotation file of captions: `coco:captions_val2017.json?images=val2017`. It reads COCO's
 * own layout (`images` and `annotations`), Karpathy's (`images` with `sentences` and `split`), and
 * lists of `{"image": …, "caption": …}` as BLIP publishes them. A record has all captions of its
 * image, in the order of the file.
 *
 * Query: `images` is the folder of the images, the file's own by default; `split` takes the images of
 * one or more splits of Karpathy's, such as `test` or `train,restval`.
 *
 * @throws BantamError for a file that is in none of these layouts.
 */
export function openCoco(spec: SourceSpec): Promise<Source> {
  checkQuery(spec, ['images', 'split']);
  const { path, query, text } = spec;
  const notes = new NoteBook();
  const annotated = readAnnotations(spec, notes);
  const wanted = query
    .get('split')
    ?.split(',')
    .map((name) => name.trim());
  if (wanted !== undefined) checkSplits(spec, annotated, wanted);
  const chosen = annotated.filter(({ split }) => wanted?.includes(split ?? '') ?? true);
  const root = query.get('images') ?? dirname(path);
  const locate = locator(spec, root, chosen);
  const items: FileItem[] = [];
  for (const { id, file, captions, split } of chosen) {
    if (captions.length === 0) notes.leftOut('image', 'without a caption', file);
    else {
      const meta = { id, ...(split !== undefined && { split }) };
      items.push({ key: file, path: locate(file), captions, meta });
    }
  }
  const splits = [...new Set(annotated.flatMap(({ split }) => split ?? []))];
  const example = splits.find((split) => split === 'test') ?? splits.at(0);
  if (wanted === undefined && example !== undefined && splits.length > 1) {
    notes.info(`All splits are read (${splits.join(', ')}): choose with split=${example}.`);
  }
  if (items.length === 0) {
    const why = notes.notes.map((note) => ` ${describeNote(note)}`);
    throw new BantamError(`The data set "${text}" is empty.${why.join('')}`);
  }
  return Promise.resolve(new FileSource(text, items, { templates: [], notes: notes.notes }));
}

function readAnnotations(spec: SourceSpec, notes: NoteBook): Annotated[] {
  const { path } = spec;
  const json = readJson(spec);
  const read = Array.isArray(json)
    ? fromList(json, notes)
    : isObject(json) && Array.isArray(json.images)
      ? Array.isArray(json.annotations)
        ? fromCoco(json.images, json.annotations, notes)
        : fromKarpathy(json.images, notes)
      : [];
  const found = merge(read);
  if (found.some(({ captions }) => captions.length > 0)) return found;
  throw new BantamError(
    `"${path}" holds no captions of images: it is neither COCO's captions (images and annotations), nor Karpathy's (images with sentences), nor a list of {"image", "caption"}.`,
  );
}

function readJson({ path, kind }: SourceSpec): unknown {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) {
    throw new BantamError(
      `The annotations "${path}" cannot be read (no such file or folder); name an existing file after "${kind}:".`,
    );
  }
  if (size > mostBytes) {
    throw new BantamError(
      `"${path}" has ${Math.round(size / 2 ** 20)} MiB, more than JSON can be read of at once; write it with a line for each image and use jsonl:.`,
    );
  }
  try {
    return JSON.parse(decodeFile(readFileSync(path)) ?? '');
  } catch (error) {
    throw new BantamError(
      `The annotations "${path}" cannot be read (${causeOf(error)}); get the file again, or repair it.`,
    );
  }
}

function objects(list: readonly unknown[]): JsonObject[] {
  return list.filter(isObject);
}

function idOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function fromCoco(
  images: readonly unknown[],
  annotations: readonly unknown[],
  notes: NoteBook,
): Annotated[] {
  const captions = new Map<string, string[]>();
  for (const { id, file_name: file } of objects(images)) {
    if (typeof file === 'string') captions.set(idOf(id), []);
  }
  for (const { image_id: image, caption, id } of objects(annotations)) {
    const texts = textsOf(caption);
    const known = captions.get(idOf(image));
    if (known === undefined) {
      notes.leftOut('annotation', 'of an image that is not listed', `annotation ${idOf(id)}`);
    } else if (texts.length === 0) {
      notes.leftOut('annotation', 'without a caption', `annotation ${idOf(id)}`);
    } else known.push(...texts);
  }
  const listed = new Set<string>();
  return objects(images).flatMap(({ id, file_name: file }) => {
    const name = idOf(id);
    if (listed.has(name)) {
      notes.leftOut('entry', 'of an image that is listed before', `image ${name}`);
      return [];
    }
    listed.add(name);
    if (typeof file === 'string') return [{ id: name, file, captions: captions.get(name) ?? [] }];
    notes.leftOut('image', 'without a file name', `image ${name}`);
    return [];
  });
}

function fromKarpathy(images: readonly unknown[], notes: NoteBook): Annotated[] {
  return images.flatMap((value, i) => {
    const image = isObject(value) ? value : {};
    const { filename, filepath, sentences, split } = image;
    if (typeof filename !== 'string' || !Array.isArray(sentences)) {
      notes.leftOut('image', 'without a file name and sentences', `image ${i}`);
      return [];
    }
    const captions = objects(sentences).flatMap(({ raw, tokens }) => {
      const texts = textsOf(raw);
      return texts.length > 0 || !Array.isArray(tokens) ? texts : textsOf(tokens.join(' '));
    });
    const file =
      typeof filepath === 'string' && filepath !== '' ? `${filepath}/${filename}` : filename;
    const id = idOf(image.cocoid) || idOf(image.imgid);
    return [{ id, file, captions, ...(typeof split === 'string' && { split }) }];
  });
}

function fromList(list: readonly unknown[], notes: NoteBook): Annotated[] {
  return list.flatMap((value, i) => {
    const entry = isObject(value) ? value : {};
    const { image, caption } = entry;
    if (typeof image !== 'string') {
      notes.leftOut('entry', 'without an image', `entry ${i}`);
      return [];
    }
    return [{ id: idOf(entry.image_id), file: image, captions: textsOf(caption) }];
  });
}

/** Entries of one image are one record. */
function merge(read: readonly Annotated[]): Annotated[] {
  const byFile = new Map<string, Annotated>();
  for (const image of read) {
    const known = byFile.get(image.file);
    if (known === undefined) byFile.set(image.file, image);
    else byFile.set(image.file, { ...known, captions: [...known.captions, ...image.captions] });
  }
  return [...byFile.values()];
}

function checkSplits(
  { text, path }: SourceSpec,
  annotated: readonly Annotated[],
  wanted: readonly string[],
): void {
  const splits = [...new Set(annotated.flatMap(({ split }) => split ?? []))];
  if (splits.length === 0) {
    throw new BantamError(
      `"${path}" has no splits, so "${text}" cannot choose one; leave out split=, or name the file of the split.`,
    );
  }
  const unknown = wanted.find((name) => !splits.includes(name));
  if (unknown === undefined) return;
  throw new BantamError(
    `"${path}" has no split "${unknown}"${didYouMean(unknown, splits)}; it has ${splits.join(', ')}.`,
  );
}

/**
 * How file names become paths. Karpathy's file has images in folders (`val2014/…`): the folder that is
 * named may be the one that holds these, or the one of the images themselves.
 */
function locator(
  { text }: SourceSpec,
  root: string,
  images: readonly Annotated[],
): (file: string) => string {
  const ways: ((file: string) => string)[] = [
    (file) => join(root, file.replaceAll('\\', '/')),
    (file) => join(root, file.split(/[\\/]/).at(-1) ?? file),
  ];
  const [whole, bare] = ways;
  const some = images.slice(0, 50);
  const found = ways.find((way) => some.some(({ file }) => existsSync(way(file))));
  if (found !== undefined || whole === undefined || bare === undefined) {
    return found ?? ((file) => file);
  }
  const [first] = some;
  throw new BantamError(
    `None of the first ${some.length} images of "${text}" is in "${root}" (such as "${whole(first?.file ?? '')}"); name the folder of the images with ?images=DIR.`,
  );
}
