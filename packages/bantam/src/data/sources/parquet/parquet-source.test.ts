import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BantamError } from '../../../base/errors.js';
import { readLocation } from '../../images/location.js';
import { Loader } from '../../loader/loader.js';
import { describeNote } from '../notes.js';
import { openSource } from '../open-source.js';
import type { Source } from '../source.js';
import { rowColumns } from './columns.js';
import { ParquetFile } from './parquet-file.js';

const fixtures = fileURLToPath(new URL('../../../../fixtures/data/parquet', import.meta.url));

let cacheDir: string;
/** Rows as pyarrow reads them; made by `fixtures/generate_parquet.py`. */
let expected: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;

before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'bantam-parquet-'));
  expected = JSON.parse(await readFile(join(fixtures, 'expected.json'), 'utf8')) as typeof expected;
});

after(async () => {
  await rm(cacheDir, { recursive: true });
});

function open(name: string, query = ''): Promise<Source> {
  return openSource(`parquet:${join(fixtures, `${name}.parquet`)}${query}`, { cacheDir });
}

async function refusal(spec: string): Promise<string> {
  try {
    await openSource(spec, { cacheDir });
  } catch (error) {
    assert.ok(error instanceof BantamError, String(error));
    return error.message;
  }
  return assert.fail(`${spec} was opened`);
}

const records = (source: Source) => Array.from({ length: source.size }, (_, i) => source.record(i));
const notes = (source: Source): string[] => (source.notes ?? []).map(describeNote);
const sha1 = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');

/** The captions by image that rows of `paths` have. */
function captionsByImage(name: string): [string, string[]][] {
  const rows = expected[name] ?? [];
  const byImage = new Map<string, string[]>();
  for (const { image, caption } of rows) {
    if (typeof caption !== 'string') continue;
    byImage.set(String(image), [...(byImage.get(String(image)) ?? []), caption.trim()]);
  }
  return [...byImage];
}

describe('Parquet files with paths', () => {
  for (const name of ['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4'].map((c) => `paths-${c}`)) {
    it(`hold the rows that pyarrow reads: ${name}`, async () => {
      const source = await open(name);
      assert.deepEqual(
        records(source).map(({ key, captions }) => [key, captions]),
        captionsByImage(name),
      );
      assert.ok(
        notes(source).includes(
          '1 row without a caption is left out (row 7 of ' + `${name}.parquet).`,
        ),
      );
      const row = (expected[name] ?? [])[3];
      assert.equal(source.record(3).meta.id, row?.id);
      assert.equal(source.record(3).meta.score, String(row?.score));
      assert.deepEqual(source.location(0), { path: join(fixtures, 'photos/000.jpg') });
    });
  }

  it('hold lists of captions, structures and labels by name', async () => {
    const source = await open('pages', '?caption=captions&label=label');
    const rows = (expected.pages ?? []).filter(
      ({ captions }) => Array.isArray(captions) && captions.length > 0,
    );
    const all = records(source).flatMap(({ captions }) => captions);
    assert.deepEqual(
      all.toSorted(),
      rows.flatMap(({ captions }) => captions as string[]).toSorted(),
    );
    assert.deepEqual(source.labelSets.label?.classes, ['1', '2']);
    const nested = await open('pages', '?caption=nested.en');
    assert.deepEqual(nested.record(9).captions, ['nested 9', 'nested 59']);
  });

  it('are read from the cache the second time, and anew when they change', async () => {
    const path = join(cacheDir, 'copy.parquet');
    await copyFile(join(fixtures, 'paths-none.parquet'), path);
    const first = await openSource(`parquet:${path}`, { cacheDir });
    const again = await openSource(`parquet:${path}`, { cacheDir });
    assert.deepEqual(records(again), records(first));
    await copyFile(join(fixtures, 'pages.parquet'), path);
    const changed = await openSource(`parquet:${path}`, { cacheDir });
    assert.deepEqual(records(changed), records(await open('pages')));
  });

  it('are refused by name if they are cut off, empty, or no Parquet files', async () => {
    const path = join(cacheDir, 'broken.parquet');
    await copyFile(join(fixtures, 'paths-zstd.parquet'), path);
    await truncate(path, 2000);
    assert.match(await refusal(`parquet:${path}`), /broken.parquet" is cut off: its end/);
    await writeFile(path, '');
    assert.match(await refusal(`parquet:${path}`), /has 0 bytes and is no Parquet file/);
    await writeFile(path, 'image,caption\na.png,one\n');
    assert.match(await refusal(`parquet:${path}`), /is no Parquet file/);
    assert.match(
      await refusal(`parquet:${path}.none`),
      /cannot be read \(no such file or folder\)/,
    );
  });

  it('are refused if a page has more text than is read at once', () => {
    const file = new ParquetFile(join(fixtures, 'paths-none.parquet'), 10);
    const [column] = rowColumns(file, undefined).columns;
    const leaf = column?.leaf ?? assert.fail('no column');
    assert.throws(() => [...file.values(0, leaf)], /The column "\w+" of ".*paths-none\.parquet" has \d+ MiB of text in one page/); // prettier-ignore
  });

  it('never crash on damaged bytes', async () => {
    const whole = await readFile(join(fixtures, 'paths-snappy.parquet'));
    const path = join(cacheDir, 'damaged.parquet');
    for (let i = 0; i < 60; i++) {
      const bytes = Buffer.from(whole);
      for (let k = 0; k < 8; k++) {
        const at = (i * 7919 + k * 104_729) % bytes.length;
        bytes[at] = (bytes[at] ?? 0) ^ (1 + ((i * 37 + k * 11) % 255));
      }
      await writeFile(path, bytes);
      const source = await openSource(`parquet:${path}`, { cacheDir }).catch((error: unknown) => {
        assert.ok(error instanceof BantamError, String((error as Error).stack));
      });
      if (source !== undefined) records(source);
    }
  });
});

describe('Parquet files with image bytes', () => {
  /** Hashes of the images that pyarrow reads of a column. */
  const hashes = (name: string, column: string): string[] =>
    (expected[name] ?? []).flatMap((row) => {
      const value = row[column] as string | { bytes: string | null } | null;
      const hash = typeof value === 'string' ? value : value?.bytes;
      return hash == null ? [] : [hash];
    });

  for (const [name, column, query] of [
    ['hub', 'image', ''],
    ['bytes', 'image', ''],
    ['bytes', 'thumbnail', '?image=thumbnail'],
    ['dictionary', 'jpg', ''],
  ] as const) {
    it(`give the bytes that pyarrow reads: ${name}, ${column}`, async () => {
      const source = await open(name, query);
      const order = Array.from({ length: source.size }, (_, i) => (i * 7) % source.size);
      const found: string[] = [];
      for (const i of order) found[i] = sha1(await source.image(i));
      assert.deepEqual(found, hashes(name, column));
    });
  }

  it('take class names from the file, and leave out rows without an image', async () => {
    const source = await open('hub');
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'dog', 'große Maus']);
    assert.equal(source.record(0).key, 'hub.parquet#0');
    assert.equal(source.record(0).meta.path, '0.png');
    assert.equal(source.record(4).label, undefined);
    assert.deepEqual(notes(source), [
      '2 rows without an image are left out (row 4 of hub.parquet, row 5 of hub.parquet).',
    ]);
  });

  it('are decoded by worker threads, in any order', async () => {
    const source = await open('hub');
    const loader = new Loader(source, {
      ...{ batchSize: 4, size: 8, seed: 1, workers: 1 },
      views: { image: [{ op: 'resize' }] },
    });
    try {
      const { value: batch } = await loader.batches().next();
      assert.equal(batch.size, 4);
      assert.equal(loader.quarantine.samples.length, 0);
      assert.ok((batch.images.image ?? []).some((value) => value > 0));
    } finally {
      await loader.close();
    }
  });

  it('know a row whose image is missing', async () => {
    const source = await open('hub');
    const location = source.location(0);
    const page = location.page && { ...location.page, row: 5 };
    await assert.rejects(readLocation({ ...location, ...(page && { page }) }), /has no image/);
  });

  it('make one data set of several files', async () => {
    const pattern = join(fixtures, 'paths-{none,zstd}.parquet');
    const source = await openSource(`parquet:${pattern}`, { cacheDir });
    assert.equal(source.size, 50);
    const other = join(fixtures, '{hub,bytes}.parquet');
    assert.match(await refusal(`parquet:${other}`), /bytes.parquet" has no column "text"/);
    assert.equal(basename(source.location(0).path), '000.jpg');
  });
});
