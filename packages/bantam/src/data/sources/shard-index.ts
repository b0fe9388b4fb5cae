import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { makeFolder } from '../../base/make-folder.js';
import { TarDamage, TarReader, type TarMember } from './tar.js';

/** Raised whenever the form of an index changes. */
const indexVersion = 1;

const imageExtensions = new Set(['jpg', 'jpeg', 'png', 'webp']);

/** Members that are longer are no captions. */
const mostText = 1 << 20;

/** Numbers of a sample: where its image is, how long it is, and where its texts begin. */
const numbers = 3;

/** One sample's texts. */
export interface ShardTexts {
  readonly key: string;
  /** Its members that are text, by extension. */
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
    const at = sample * numbers;
    return { offset: this.#locations[at] ?? 0, length: this.#locations[at + 1] ?? 0 };
  }

  texts(sample: number): ShardTexts {
    const at = sample * numbers + 2;
    const start = this.#locations[at] ?? 0;
    const end = this.#locations[at + numbers] ?? this.#texts.length;
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
 * Reads the headers and texts of a shard. Members that follow each other and whose names are alike
 * up to the first dot of the file's name are a sample; the rest of the name, in lower case, is the
 * extension. An extension that the sample has already begins another. Names in double underscores
 * are no data. These are webdataset's rules, as OpenCLIP applies them.
 */
function scanShard(path: string): ShardIndex {
  const reader = openTar(path);
  const locations: number[] = [];
  const texts: Buffer[] = [];
  const counts: Record<string, number> = {};
  let start = 0;
  let withoutImage = 0;
  let damage: string | undefined;
  let sample: OpenSample | undefined;
  const finish = (): void => {
    if (sample === undefined) return;
    const { key, image, members } = sample;
    if (image === undefined) {
      withoutImage++;
      return;
    }
    const text = Buffer.from(JSON.stringify({ key, members }));
    locations.push(image.offset, image.length, start);
    texts.push(text);
    start += text.length;
    for (const [extension, content] of Object.entries(members)) {
      if (content.trim() !== '') counts[extension] = (counts[extension] ?? 0) + 1;
    }
  };
  try {
    for (const member of reader.members()) {
      const named = splitName(member.name);
      if (named === undefined) continue;
      const { key, extension } = named;
      if (sample?.key !== key || sample.extensions.has(extension)) {
        finish();
        sample = { key, image: undefined, members: {}, extensions: new Set() };
      }
      sample.extensions.add(extension);
      if (imageExtensions.has(extension)) sample.image ??= member;
      else if (member.length <= mostText) {
        const bytes = reader.read(member);
        if (isUtf8(bytes) && !bytes.includes(0)) sample.members[extension] = bytes.toString();
      }
    }
    finish();
  } catch (error) {
    if (!(error instanceof TarDamage)) throw error;
    // The open sample may lack members that followed, unless the next one had started.
    if (error.member !== undefined && splitName(error.member)?.key !== sample?.key) finish();
    damage = error.message;
  } finally {
    reader.close();
  }
  const { size, modified } = reader;
  const samples = locations.length / numbers;
  return new ShardIndex(
    {
      ...{ version: indexVersion, path: resolve(path), size, modified, samples },
      ...{ texts: counts, withoutImage, ...(damage !== undefined && { damage }) },
    },
    { locations: Float64Array.from(locations), texts: Buffer.concat(texts) },
  );
}

interface OpenSample {
  readonly key: string;
  image: TarMember | undefined;
  readonly members: Record<string, string>;
  readonly extensions: Set<string>;
}

function openTar(path: string): TarReader {
  try {
    return new TarReader(path);
  } catch (error) {
    throw new BantamError(
      `The shard "${path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'}); name existing files after "wds:".`,
    );
  }
}

function splitName(name: string): { key: string; extension: string } | undefined {
  if (/^__[^/]*__($|\/)/.test(name)) return undefined;
  const [, key, extension] = /^((?:.*\/)?[^./]+)\.([^/]*)$/.exec(name) ?? [];
  if (key === undefined || extension === undefined) return undefined;
  return { key, extension: extension.toLowerCase() };
}
