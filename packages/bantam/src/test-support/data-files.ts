import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { BantamError } from '../base/errors.js';
import {
  describeNote,
  openSource,
  type DataRecord,
  type Source,
  type SourceDescription,
} from '../data/index.js';

/** A temporary folder for a test's data, with a cache of its own. */
export class DataFolder {
  private constructor(readonly path: string) {}

  static async create(): Promise<DataFolder> {
    return new DataFolder(await mkdtemp(join(tmpdir(), 'bantam-data-')));
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true });
  }

  /** Writes files, and gives the path of the first one. */
  async write(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    const paths: string[] = [];
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.path, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
      paths.push(path);
    }
    const [first] = paths;
    return first ?? assert.fail('no files');
  }

  /** Writes images of 4 by 4 pixels. */
  async images(...names: readonly string[]): Promise<void> {
    const png = await smallPng();
    await this.write(Object.fromEntries(names.map((name) => [name, png])));
  }

  open(data: string | SourceDescription): Promise<Source> {
    return openSource(data, { cacheDir: join(this.path, 'cache') });
  }

  /** The sentence with which a source is refused. */
  async refusal(data: string | SourceDescription): Promise<string> {
    try {
      await this.open(data);
    } catch (error) {
      assert.ok(error instanceof BantamError, String(error));
      return error.message;
    }
    return assert.fail(`${JSON.stringify(data)} was opened`);
  }
}

/** A gray PNG of 4 by 4 pixels. */
export function smallPng(): Promise<Buffer> {
  return sharp({ create: { width: 4, height: 4, channels: 3, background: '#888' } })
    .png()
    .toBuffer();
}

export function recordsOf(source: Source): DataRecord[] {
  return Array.from({ length: source.size }, (_, i) => source.record(i));
}

export function captionsOf(source: Source): string[][] {
  return recordsOf(source).map(({ captions }) => [...captions]);
}

export function notesOf(source: Source): string[] {
  return (source.notes ?? []).map(describeNote);
}
