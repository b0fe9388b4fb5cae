import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { causeOf } from '../../../base/system-error.js';
import { makeFolder } from '../../../base/make-folder.js';
import { decodeFile } from '../tables/text-bytes.js';
import { readNpy } from './npy.js';
import { TarDamage, TarReader, type TarMember } from './tar.js';

/** Raised whenever the form of an index changes. */
const indexVersion = 4;

const imageExtensions = new Set(['jpg', 'jpeg', 'png', 'webp']);

/** Members that are longer are no captions. */
const mostText = 1 << 20;

/** Arrays of numpy with more values, or more bytes, are no metadata. */
const mostValues = 4096;
const mostArray = 1 << 16;

/** Numbers of a sample: where its image is, how long it is, and where its texts begin. */
const numbers = 3;

/** One sample's texts. */
export interface ShardTexts {
  readonly key: string;
  /** Its members that are text, by extension; `npy`, an array of numpy, as a list in JSON. */
  readonly members: Readonly<Record<string, string>>;
}

interface IndexHeader {
  readonly version: number;
  readonly path: string;
  readonly size: number;
  readonly modified: number;
  readonly samples: number;
  /** How many samples have a text of each extension that is not empty. */
  readonly texts: Readonly<Record<string, number>>;
  /** Samples without an image, which are left out. */
  readonly withoutImage: number;
  /** Archives that were joined to the first one. */
  readonly joined: number;
  /** Samples whose name an earlier one has. */
  readonly duplicates: number;
  /** Samples whose members do not follow each other. */
  readonly apart: number;
  /** Members that are neither files nor folders, and links that lead nowhere. */
  readonly skipped: number;
  /** Members `.npy` that cannot be read, and why the first of them. */
  readonly brokenArrays: number;
  readonly arrayFault?: string;
  readonly damage?: string;
}

/**
 * Contents of a shard: for each sample its image's location and its texts, which stay packed until
 * they are asked for.
 */
export class ShardIndex {
  readonly #locations: Float64Array;
  readonly #texts: Buffer;

  constructor(
    readonly header: IndexHeader,
    { locations, texts }: { locations: Float64Array; texts: Buffer },
  ) {
    this.#locations = locations;
    this.#texts = texts;
  }

  get samples(): number {
    return this.header.samples;
  }

  image(sample: number): { offset: number; length: number } {
    const first = sample * numbers;
    return { offset: at(this.#locations, first), length: at(this.#locations, first + 1) };
  }

  texts(sample: number): ShardTexts {
    const entry = sample * numbers + 2;
    const start = at(this.#locations, entry);
    const isLast = sample === this.samples - 1;
    const end = isLast ? this.#texts.length : at(this.#locations, entry + numbers);
    return JSON.parse(this.#texts.toString('utf8', start, end)) as ShardTexts;
  }

  /** As bytes: a line of JSON filled up to whole numbers, the locations, the texts. */
  toBytes(): Buffer {
    const header = JSON.stringify(this.header);
    const padding = ' '.repeat((8 - ((Buffer.byteLength(header) + 1) % 8)) % 8);
    const { buffer, byteOffset, byteLength } = this.#locations;
    const locations = Buffer.from(buffer, byteOffset, byteLength);
    return Buffer.concat([Buffer.from(`${header}${padding}\n`), locations, this.#texts]);
  }

  static fromBytes(bytes: Buffer): ShardIndex {
    const start = bytes.indexOf(10) + 1;
    const header = JSON.parse(bytes.toString('utf8', 0, start)) as IndexHeader;
    const length = header.samples * numbers;
    const locations = new Float64Array(bytes.buffer, bytes.byteOffset + start, length);
    return new ShardIndex(header, {
      locations,
      texts: bytes.subarray(start + locations.byteLength),
    });
  }
}

/**
 * The index of a shard: from the cache, where one of this size and time is, else by one scan of its
 * headers, which is then kept there.
 */
export function openShardIndex(path: string, cacheDir: string): ShardIndex {
  const name = createHash('sha1').update(resolve(path)).digest('hex');
  const folder = join(cacheDir, 'shards');
  const kept = join(folder, `${name}.index`);
  const found = readIndex(kept);
  if (found !== undefined && isCurrent(found, path)) return found;
  const index = scanShard(path);
  try {
    makeFolder(folder);
    const partial = `${kept}.${process.pid}`;
    writeFileSync(partial, index.toBytes());
    renameSync(partial, kept);
  } catch {
    // A cache that cannot be written makes the next start slower, no more.
    rmSync(`${kept}.${process.pid}`, { force: true });
  }
  return index;
}

function readIndex(file: string): ShardIndex | undefined {
  try {
    // A buffer of its own begins at a multiple of eight, as its numbers must.
    return ShardIndex.fromBytes(readFileSync(file));
  } catch {
    return undefined;
  }
}

function isCurrent({ header }: ShardIndex, path: string): boolean {
  const { version, size, modified } = header;
  const file = statSync(path, { throwIfNoEntry: false });
  return version === indexVersion && size === file?.size && modified === file.mtimeMs;
}

/**
 * Reads the headers and texts of a shard. Members whose names are alike up to the first dot of the
 * file's name are a sample, in the order of their first members; the rest of the name, in lower case,
 * is the extension. An extension that the sample has already starts another one of the same name, as
 * in webdataset; its key gets a number. Unlike there, the members of a sample need not follow each
 * other: archives that are made by hand are not sorted, and names may hold further dots. Names in double underscores are no data, and
 * neither are hidden files and resource forks.
 */
function scanShard(path: string): ShardIndex {
  const reader = openTar(path);
  const samples: OpenSample[] = [];
  const latest = new Map<string, OpenSample>();
  const uses = new Map<string, number>();
  const apart = new Set<OpenSample>();
  const arrays = new ArrayReader();
  let duplicates = 0;
  let last: OpenSample | undefined;
  let damage: string | undefined;
  try {
    for (const member of reader.members()) {
      const named = splitName(member.name);
      if (named === undefined) continue;
      const { key, extension } = named;
      let sample = latest.get(key);
      if (sample === undefined || sample.extensions.has(extension)) {
        const use = (uses.get(key) ?? 0) + 1;
        uses.set(key, use);
        if (use > 1) duplicates++;
        const unique = use === 1 ? key : `${key}#${use}`;
        sample = {
          ...{ key: unique, image: undefined, members: {} },
          ...{ dotted: new Map(), extensions: new Set() },
        };
        latest.set(key, sample);
        samples.push(sample);
      } else if (sample !== last) apart.add(sample);
      last = sample;
      sample.extensions.add(extension);
      const [, middle, kind = ''] = /^(.*)\.([^.]*)$/.exec(extension) ?? [];
      if (imageExtensions.has(extension)) sample.image ??= member;
      else if (middle !== undefined && imageExtensions.has(kind)) sample.dotted.set(middle, member);
      else if (extension === 'npy') {
        const array = member.length > mostArray ? undefined : arrays.read(reader.read(member), key);
        if (array !== undefined) sample.members.npy = array;
      } else if (member.length <= mostText) {
        const bytes = reader.read(member);
        const text = isText(extension, bytes) ? decodeFile(bytes) : undefined;
        if (text !== undefined && !text.includes('\0')) sample.members[extension] = text;
      }
    }
  } catch (error) {
    if (!(error instanceof TarDamage)) throw error;
    // The last sample may lack members that followed, unless the next one had started.
    const cut = error.member === undefined ? undefined : splitName(error.member)?.key;
    const isCut = cut === undefined || latest.get(cut) === last;
    if (isCut && last !== undefined) samples.splice(samples.indexOf(last), 1);
    damage = error.message;
  } finally {
    reader.close();
  }
  const { size, modified, joined, skipped } = reader;
  return packSamples(samples, {
    ...{ version: indexVersion, path: resolve(path), size, modified },
    ...{ joined, duplicates, apart: apart.size, skipped: skipped.length },
    ...{
      brokenArrays: arrays.broken,
      ...(arrays.fault !== undefined && { arrayFault: arrays.fault }),
    },
    ...(damage !== undefined && { damage }),
  });
}

/** Reads small arrays of numpy, and counts those that cannot be read. */
class ArrayReader {
  broken = 0;
  /** Why the first one cannot be read. */
  fault: string | undefined;

  /** The values as a JSON list; undefined for an array that is broken, or too large for metadata. */
  read(bytes: Buffer, key: string): string | undefined {
    try {
      const { values } = readNpy(bytes);
      if (values.length > mostValues) return undefined;
      return JSON.stringify(
        values.map((value) => (typeof value === 'bigint' ? `${value}` : value)),
      );
    } catch (error) {
      if (!(error instanceof BantamError)) throw error;
      this.broken++;
      this.fault ??= `that of "${key}": ${error.message}`;
      return undefined;
    }
  }
}

function packSamples(
  samples: readonly OpenSample[],
  facts: Omit<IndexHeader, 'samples' | 'texts' | 'withoutImage'>,
): ShardIndex {
  const locations: number[] = [];
  const texts: Buffer[] = [];
  const counts: Record<string, number> = {};
  let start = 0;
  let withoutImage = 0;
  for (const { key, image, members } of samples.flatMap((sample) => [...splitDotted(sample)])) {
    if (image === undefined) {
      withoutImage++;
      continue;
    }
    const text = Buffer.from(JSON.stringify({ key, members }));
    locations.push(image.offset, image.length, start);
    texts.push(text);
    start += text.length;
    for (const [extension, content] of Object.entries(members)) {
      if (content.trim() !== '') counts[extension] = (counts[extension] ?? 0) + 1;
    }
  }
  return new ShardIndex(
    { ...facts, samples: locations.length / numbers, texts: counts, withoutImage },
    { locations: Float64Array.from(locations), texts: Buffer.concat(texts) },
  );
}

interface OpenSample {
  readonly key: string;
  image: TarMember | undefined;
  readonly members: Record<string, string>;
  /** Images with a dot in the extension, by what is before it: `left` of `a.left.jpg`. */
  readonly dotted: Map<string, TarMember>;
  readonly extensions: Set<string>;
}

/**
 * Other encodings than UTF-8 are read where only text can be. Arrays and the like are no captions.
 */
function isText(extension: string, bytes: Buffer): boolean {
  return isUtf8(bytes) || /(^|\.)(txt|json|cls|text|caption)$/.test(extension);
}

/**
 * A sample without an image, but with some whose names have further dots, was named by people:
 * `photo.2021.01.jpg` and `photo.2021.02.jpg` are two samples, which have the members of their own names.
 */
function* splitDotted(sample: OpenSample): Generator<OpenSample, void, undefined> {
  if (sample.image !== undefined || sample.dotted.size === 0) {
    yield sample;
    return;
  }
  for (const [middle, image] of sample.dotted) {
    const own = Object.entries(sample.members).flatMap(([extension, content]) =>
      extension.startsWith(`${middle}.`) ? [[extension.slice(middle.length + 1), content]] : [],
    );
    const members = Object.fromEntries(own) as Record<string, string>;
    yield { ...sample, key: `${sample.key}.${middle}`, image, members };
  }
}

function openTar(path: string): TarReader {
  try {
    return new TarReader(path);
  } catch (error) {
    throw new BantamError(
      `The shard "${path}" cannot be read (${causeOf(error)}); name existing files after "wds:".`,
    );
  }
}

function splitName(name: string): { key: string; extension: string } | undefined {
  if (/^__[^/]*__($|\/)|(^|\/)(\.[^./]|__MACOSX\/|@eaDir\/)/.test(name)) return undefined;
  const [, key, extension] = /^((?:.*\/)?[^./]+)\.([^/]*)$/.exec(name) ?? [];
  if (key === undefined || extension === undefined) return undefined;
  return { key, extension: extension.toLowerCase() };
}
