import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { className, commonCaptionNames, folderTemplates, promptsOf, textsOf } from '../captions.js';
import { FileSource, type FileItem } from './file-source.js';
import { folderIdentity, listFolder, noteOtherFiles } from './folder-files.js';
import { describeNote, NoteBook } from '../notes.js';
import { decodeFile } from '../tables/text-bytes.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import type { Source } from '../source.js';

const captionSources = ['beside', 'name', 'none'] as const;

/** Texts and facts of a file beside an image. */
interface Sidecar {
  readonly captions: readonly string[];
  readonly label?: string;
  readonly meta: Readonly<Record<string, string>>;
}

/**
 * Opens a folder of images in any nesting: `images:DIR[?caption=beside|name|none&label=folder]`.
 *
 * - `beside`: captions of the files beside the image, `a.txt` or `a.json` for `a.jpg` (also
 *   `a.jpg.txt`). Each line of a `.txt` is a caption; a `.json` has `caption`, `captions`, `title`,
 *   `text` or `description` and possibly `label`. Images without one are left out with a note.
 * - `name`: the file's name without its extension, with `_` and `-` read as spaces.
 * - `none`: no captions, for embedding and search.
 *
 * Other files, such as captions whose image is missing, are counted in the notes.
 *
 * By default it is `beside` if any image has a caption beside it, else `none`.
 *
 * `label=folder` takes the folder that an image is in for its class, at any depth (`photo/dog/1.jpg`), and
 * the folders above as the metadata `folder`; captions are then made of the class by default.
 */
export async function openImages(spec: SourceSpec): Promise<Source> {
  checkQuery(spec, ['caption', 'label']);
  const given = spec.query.get('caption');
  const wanted = captionSources.find((name) => name === given);
  if (given !== undefined && wanted === undefined) {
    throw new BantamError(
      `"caption" of "${spec.text}" is "${given}"; it is one of ${captionSources.join(', ')}.`,
    );
  }
  const label = spec.query.get('label');
  if (label !== undefined && label !== 'folder') {
    throw new BantamError(
      `"label" of "${spec.text}" is "${label}"; it can only be "folder", the name of the folder that an image is in.`,
    );
  }
  const notes = new NoteBook();
  const found = await walk(spec, notes);
  const sidecars =
    wanted === undefined || wanted === 'beside' ? await readSidecars(spec, found, notes) : [];
  const captioned = sidecars.some(({ captions }) => captions.length > 0);
  const from = wanted ?? (captioned ? 'beside' : label === undefined ? 'none' : 'label');
  const items: FileItem[] = [];
  for (const [i, { key }] of found.entries()) {
    const named = label === undefined ? { meta: {} } : folderLabel(key);
    const item: Omit<FileItem, 'captions'> = { key, path: join(spec.path, key), ...named };
    if (from === 'label') {
      if (item.label === undefined) notes.leftOut('image', 'outside of a folder', key);
      else items.push({ ...item, captions: promptsOf(item.label) });
    } else if (from === 'name') {
      const caption = parse(key).name.normalize('NFC').replaceAll(/[_-]+/g, ' ').trim();
      items.push({ ...item, captions: [caption === '' ? key : caption] });
    } else if (from === 'none') {
      items.push({ ...item, captions: [] });
    } else {
      const sidecar = sidecars[i];
      if (sidecar === undefined || sidecar.captions.length === 0) {
        notes.leftOut('image', 'without captions beside', key);
      } else items.push({ ...item, ...sidecar, meta: { ...item.meta, ...sidecar.meta } });
    }
  }
  if (from === 'none')
    notes.info('The images have no captions: they can be embedded and searched.');
  if (items.length === 0) {
    const why = notes.notes.map((note) => ` ${describeNote(note)}`);
    throw new BantamError(
      `The folder "${spec.path}" has no images${from === 'beside' ? ' with captions' : ''} (.jpg, .png, .webp, .gif, .tif, .avif or .svg).${why.join('')}`,
    );
  }
  return new FileSource(spec.text, items, { templates: folderTemplates, notes: notes.notes });
}

/** The class and the folders above it, of an image in `above/class/image.jpg`. */
function folderLabel(key: string): Pick<FileItem, 'label' | 'meta'> {
  const folders = key.split('/').slice(0, -1);
  const folder = folders.pop();
  if (folder === undefined) return { meta: {} };
  const label = className(folder);
  return { label, meta: folders.length === 0 ? {} : { folder: folders.join('/') } };
}

/** A file's name with its extension in lower case. */
function plainExtension(file: string): string {
  const { name, ext } = parse(file);
  return `${name}${ext.toLowerCase()}`;
}

interface FoundImage {
  /** Path relative to the folder, with slashes. */
  readonly key: string;
  /** The other files of its folder, by their names with the extension in lower case. */
  readonly beside: ReadonlyMap<string, string>;
}

/** All images in a folder and its folders, in the order of their paths. */
async function walk(spec: SourceSpec, notes: NoteBook): Promise<FoundImage[]> {
  const found: FoundImage[] = [];
  const visited = new Set<string>();
  const visit = async (folder: string): Promise<void> => {
    const path = join(spec.path, folder);
    const identity = await folderIdentity(path).catch(() => path);
    if (visited.has(identity)) {
      notes.leftOut('link', 'to a folder that is read already', folder);
      return;
    }
    visited.add(identity);
    const { folders, images, others } = await listFolder(path, {
      ...{ kind: spec.kind, notes },
      ...(folder !== '' && { within: folder }),
    });
    const beside = new Map(others.map((file) => [plainExtension(file), file] as const));
    const sidecars = new Set(images.flatMap((image) => sidecarsOf(image, beside)));
    noteOtherFiles(
      others.filter((file) => !sidecars.has(file)),
      folder,
      notes,
    );
    const prefix = folder === '' ? '' : `${folder}/`;
    for (const image of images) found.push({ key: `${prefix}${image}`, beside });
    for (const inner of folders) await visit(`${prefix}${inner}`);
  };
  await visit('');
  return found;
}

async function readSidecars(
  spec: SourceSpec,
  images: readonly FoundImage[],
  notes: NoteBook,
): Promise<Sidecar[]> {
  const read = new Array<Sidecar>(images.length);
  const tasks = images.entries();
  const worker = async (): Promise<void> => {
    for (const [i, image] of tasks) read[i] = await readSidecar(spec.path, image, notes);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return read;
}

const sidecarExtensions = ['.txt', '.json'] as const;

/** The files with captions beside an image. */
function sidecarsOf(image: string, beside: FoundImage['beside']): string[] {
  return sidecarExtensions.flatMap((extension) => besideOf(image, extension, beside) ?? []);
}

/** The file beside an image with another extension, or with a further one. */
function besideOf(
  image: string,
  extension: string,
  beside: FoundImage['beside'],
): string | undefined {
  const { name, base } = parse(image);
  return beside.get(`${name}${extension}`) ?? beside.get(`${base}${extension}`);
}

async function readSidecar(
  root: string,
  { key, beside }: FoundImage,
  notes: NoteBook,
): Promise<Sidecar> {
  const { dir } = parse(key);
  const [txt, json] = sidecarExtensions.map((extension) => besideOf(key, extension, beside));
  const facts = json === undefined ? undefined : parseJson(await readText(join(root, dir, json)));
  if (json !== undefined && facts === undefined) {
    notes.leftOut('.json file', 'that is not a JSON object', join(dir, json));
  }
  const lines =
    txt === undefined ? [] : textsOf((await readText(join(root, dir, txt))).split(/\r?\n/));
  const { label } = facts ?? {};
  const captions =
    lines.length > 0 ? lines : commonCaptionNames.flatMap((field) => textsOf(facts?.[field]));
  return {
    captions: [...new Set(captions)],
    ...(typeof label === 'string' && label.trim() !== '' && { label: label.trim() }),
    meta: scalarsOf(facts ?? {}),
  };
}

async function readText(path: string): Promise<string> {
  return existsSync(path) ? (decodeFile(await readFile(path)) ?? '') : '';
}

function parseJson(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function scalarsOf(facts: Readonly<Record<string, unknown>>): Record<string, string> {
  const own: readonly string[] = [...commonCaptionNames, 'label'];
  const scalars = Object.entries(facts).filter(
    ([name, value]) =>
      !own.includes(name) && ['string', 'number', 'boolean'].includes(typeof value),
  );
  return Object.fromEntries(scalars.map(([name, value]) => [name, String(value)]));
}
