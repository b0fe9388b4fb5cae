import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { BantamError } from '../../../base/errors.js';
import { makeFolder } from '../../../base/make-folder.js';
import { isProcessAlive } from '../../../base/process-alive.js';
import { cacheDirectory } from '../../../base/cache-dir.js';
import { canonicalHexcode, readEmojibase, type EmojiEntry, type EmojiNames } from './names.js';
import { installPackages } from './npm.js';
import { emojiNames, emojiSize, emojiStyles, type EmojiStyle } from './styles.js';

/** Raised whenever the stored form or a pinned package changes. */
const storeVersion = 2;

/** Bytes of one stored image: RGB, rows from the top. */
export const emojiBytes = emojiSize * emojiSize * 3;

/** Progress of making the data set. */
export interface EmojiProgress {
  readonly stage: 'fetch' | 'render';
  /** The packages or the style in work. */
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

export interface GetEmojiOptions {
  /** Bantam's cache folder; {@link cacheDirectory} by default. */
  readonly cacheDir?: string;
  readonly onProgress?: (progress: EmojiProgress) => void;
}

/** An image of a style. */
export interface StoredImage {
  readonly hexcode: string;
  /** Equal for images with equal pixels. */
  readonly digest: string;
}

/** The data set in the cache. */
export interface EmojiStore {
  readonly directory: string;
  readonly names: EmojiNames;
  /** For each style its images, in the order of the pixel file. */
  readonly images: ReadonlyMap<string, readonly StoredImage[]>;
}

function storeDirectory(cacheDir = cacheDirectory()): string {
  return join(cacheDir, 'data', `emoji-${storeVersion}`);
}

/** The file of a style's images: RGB pixels, one image after the other. */
export function pixelFile(directory: string, style: string): string {
  return join(directory, style, 'pixels.rgb');
}

/** The file with a style's licence and whom to name. */
export function noticeFile(directory: string, style: string): string {
  return join(directory, style, 'NOTICE.txt');
}

/**
 * Makes the emoji data set in the user's cache, or what is missing of it: fetches the packages of
 * {@link emojiStyles} and {@link emojiNames} with the npm client and renders every image at
 * {@link emojiSize} pixels on white. Each style appears in the cache complete or not at all, so an
 * interrupted run goes on where it stopped, and two at once do no harm.
 */
export async function getEmoji({
  cacheDir,
  onProgress,
}: GetEmojiOptions = {}): Promise<EmojiStore> {
  const directory = storeDirectory(cacheDir);
  try {
    makeFolder(directory);
  } catch (error) {
    throw new BantamError(
      `The cache folder ${directory} cannot be made (${String(error)}); set BANTAM_CACHE to a writable one.`,
    );
  }
  await removeAbandoned(directory);
  const styles = emojiStyles.filter(({ name }) => !existsSync(join(directory, name)));
  const needsNames = !existsSync(join(directory, 'names'));
  const packages = styles.map(({ source }) => source);
  if (needsNames || packages.length > 0) packages.push(emojiNames);
  const unique = packages.filter(
    ({ name }, index) => packages.findIndex((other) => other.name === name) === index,
  );
  if (unique.length === 0) return openEmojiStore(cacheDir);

  const what = unique.map(({ name }) => name).join(', ');
  onProgress?.({ stage: 'fetch', what, done: 0, total: unique.length });
  const work = await mkdtemp(join(tmpdir(), 'bantam-emoji-'));
  try {
    await installPackages(unique, work);
    onProgress?.({ stage: 'fetch', what, done: unique.length, total: unique.length });
    const names = await readEmojibase(join(work, 'node_modules', emojiNames.name));
    if (needsNames) {
      await publish(directory, 'names', { 'names.json': JSON.stringify(names) });
    }
    for (const style of styles) {
      await publish(directory, style.name, await renderStyle(style, names, work, onProgress));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return openEmojiStore(cacheDir);
}

/** Opens the data set in the cache. Throws if {@link getEmoji} has not made it yet. */
export async function openEmojiStore(cacheDir?: string): Promise<EmojiStore> {
  const directory = storeDirectory(cacheDir);
  const missing = ['names', ...emojiStyles.map(({ name }) => name)].filter(
    (part) => !existsSync(join(directory, part)),
  );
  if (missing.length > 0) {
    throw new BantamError(
      `The emoji data set is not in ${directory} yet (no ${missing.join(', ')}); run "bantam data get emoji".`,
    );
  }
  const read = async <T>(...path: string[]): Promise<T> =>
    JSON.parse(await readFile(join(directory, ...path), 'utf8')) as T;
  const images = new Map<string, readonly StoredImage[]>();
  for (const { name } of emojiStyles) {
    images.set(name, await read<StoredImage[]>(name, 'pictures.json'));
  }
  return { directory, names: await read<EmojiNames>('names', 'names.json'), images };
}

type Files = Readonly<Record<string, string | Uint8Array>>;

/** Writes a folder under a temporary name and renames it, so that it is never seen incomplete. */
async function publish(directory: string, name: string, files: Files): Promise<void> {
  const partial = join(directory, `${name}.partial-${process.pid}`);
  makeFolder(partial);
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(partial, file), content, { flush: true });
  }
  await rename(partial, join(directory, name)).catch(async (error: unknown) => {
    if (!existsSync(join(directory, name))) throw error;
    await rm(partial, { recursive: true });
  });
}

/** Removes what runs that are no longer alive left half-written. */
async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const owner = /\.partial-(\d+)$/.exec(name)?.[1];
    if (owner !== undefined && !isProcessAlive(Number(owner))) {
      await rm(join(directory, name), { recursive: true, force: true });
    }
  }
}

async function renderStyle(
  style: EmojiStyle,
  names: EmojiNames,
  work: string,
  onProgress: GetEmojiOptions['onProgress'],
): Promise<Files> {
  const folder = join(work, 'node_modules', style.source.name, style.folder);
  const files = new Map<string, string>();
  for (const file of await readdir(folder)) {
    files.set(canonicalHexcode(file.replace(/\.\w+$/, '')), join(folder, file));
  }
  const found: (EmojiEntry & { file: string })[] = [];
  for (const entry of names.entries) {
    const file = files.get(canonicalHexcode(entry.hexcode));
    if (file !== undefined) found.push({ ...entry, file });
  }
  const pixels = Buffer.alloc(found.length * emojiBytes);
  let next = 0;
  const renderNext = async (): Promise<void> => {
    for (let item = found[next]; item !== undefined; item = found[next]) {
      const index = next++;
      pixels.set(await renderFile(item.file), index * emojiBytes);
      if (next % 50 === 0 || next === found.length) {
        onProgress?.({ stage: 'render', what: style.name, done: next, total: found.length });
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, renderNext));
  const images = found.map(({ hexcode }, index): StoredImage => {
    const bytes = pixels.subarray(index * emojiBytes, (index + 1) * emojiBytes);
    return { hexcode, digest: createHash('sha256').update(bytes).digest('base64').slice(0, 16) };
  });
  return {
    'pixels.rgb': pixels,
    'pictures.json': JSON.stringify(images),
    'NOTICE.txt': await notice(style, join(work, 'node_modules', style.source.name)),
  };
}

/** Pixels of an emoji's file at the stored size on white. */
async function renderFile(path: string): Promise<Uint8Array> {
  const svg = path.endsWith('.svg');
  // A vector drawing is rasterised at the size that is wanted: librsvg draws finer than a resize.
  const width = svg ? (await sharp(path).metadata()).width : emojiSize;
  return sharp(path, svg ? { density: (72 * emojiSize) / width } : {})
    .resize(emojiSize, emojiSize, { fit: 'contain', background: 'white' })
    .flatten({ background: 'white' })
    .toColorspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer();
}

async function notice(style: EmojiStyle, directory: string): Promise<string> {
  const { name, version } = style.source;
  const head = `${style.attribution}\nLicence: ${style.licence}\nFrom the npm package ${name} ${version}; rendered at ${emojiSize} pixels on white.\n`;
  const texts: string[] = [];
  for (const file of await readdir(directory)) {
    if (/^licen[cs]e/i.test(file)) texts.push(await readFile(join(directory, file), 'utf8'));
  }
  return [head, ...texts].join('\n---\n\n');
}
