import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { BantamError } from '../../base/errors.js';
import { augmentations, emojiAugment } from '../augment/presets.js';
import { Loader, type Batch, type LoaderOptions } from './loader.js';
import { openSource } from '../sources/open-source.js';
import { epochOrder, type Position } from './order.js';
import type { Source } from '../sources/source.js';

const images = 200;
/** Of 200 images, these two files (1 %) are cut short. */
const truncated = [17, 120];

let directory: string;
let whole: Source;
let broken: Source;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-loader-'));
  const rows = ['image,caption'];
  for (let i = 0; i < images; i++) {
    const background = { r: (i * 37) % 256, g: (i * 91) % 256, b: i };
    const create = { width: 20 + (i % 7), height: 20 + (i % 5), channels: 3, background } as const;
    const bytes = await sharp({ create }).png().toBuffer();
    await writeFile(join(directory, `${i}.png`), bytes);
    await writeFile(join(directory, `cut-${i}.png`), bytes.subarray(0, bytes.length / 2));
    rows.push(`${i}.png,image ${i}`);
  }
  await writeFile(join(directory, 'whole.csv'), rows.join('\n'));
  for (const i of truncated) rows[i + 1] = `cut-${i}.png,image ${i}`;
  await writeFile(join(directory, 'broken.csv'), rows.join('\n'));
  whole = await openSource(`csv:${join(directory, 'whole.csv')}`);
  broken = await openSource(`csv:${join(directory, 'broken.csv')}`);
});

after(async () => {
  await rm(directory, { recursive: true });
});

const options = {
  batchSize: 16,
  views: { image: emojiAugment, second: augmentations['stacked-rand-augment'] },
  size: 16,
  seed: 5,
} satisfies LoaderOptions;

async function take(
  source: Source,
  {
    count,
    start = {},
    ...changes
  }: { count: number; start?: Partial<Position> } & Partial<LoaderOptions>,
): Promise<{ batches: Batch[]; loader: Loader }> {
  const loader = new Loader(source, { ...options, ...changes });
  const batches: Batch[] = [];
  try {
    for await (const batch of loader.batches(start)) {
      batches.push(batch);
      if (batches.length === count) break;
    }
  } finally {
    await loader.close();
  }
  return { batches, loader };
}

function digest(batches: readonly Batch[]): string {
  const hash = createHash('sha256');
  for (const { images, captions, keys, indices, epoch, next } of batches) {
    for (const pixels of Object.values(images)) hash.update(pixels);
    hash.update(JSON.stringify([captions, keys, [...indices], epoch, next]));
  }
  return hash.digest('hex');
}

/** The digest of as many batches, each handed back before the next one is asked for. */
async function recycledDigest(source: Source, count: number, workers: number): Promise<string> {
  const loader = new Loader(source, { ...options, workers });
  const copies: Batch[] = [];
  try {
    for await (const batch of loader.batches()) {
      const views = Object.entries(batch.images);
      const images = Object.fromEntries(views.map(([view, pixels]) => [view, pixels.slice()]));
      copies.push({ ...batch, images });
      loader.recycle(batch);
      // A second time is once too often, and does nothing.
      loader.recycle(batch);
      if (copies.length === count) break;
    }
  } finally {
    await loader.close();
  }
  return digest(copies);
}

describe('Loader', () => {
  it('gives the same bytes whatever the number of workers, the queue and the cache', async () => {
    const reference = digest((await take(whole, { count: 30, workers: 0 })).batches);
    for (const changes of [
      { workers: 1 },
      { workers: 2, prefetch: 5 },
      { workers: 0, cacheBytes: 0 },
      { workers: 1, cacheBytes: 20_000 },
    ]) {
      assert.equal(digest((await take(whole, { count: 30, ...changes })).batches), reference);
    }
    assert.notEqual(
      digest((await take(whole, { count: 30, workers: 0, seed: 6 })).batches),
      reference,
    );
  });

  it('gives the same bytes where batches are handed back, broken samples or not', async () => {
    for (const source of [whole, broken]) {
      const reference = digest((await take(source, { count: 28, workers: 0 })).batches);
      for (const workers of [0, 1, 2]) {
        assert.equal(await recycledDigest(source, 28, workers), reference);
      }
    }
  });

  it('makes images in memory that is handed back, and asks for more where it does not fit', async () => {
    const loader = new Loader(whole, { ...options, workers: 0, prefetch: 1 });
    const memory = new Set<ArrayBuffer>();
    for await (const batch of loader.batches()) {
      for (const { buffer } of Object.values(batch.images)) memory.add(buffer);
      loader.recycle(batch);
      if (batch.epoch === 1) break;
    }
    // Two views, and a batch that is made while the one before is handed out.
    assert.ok(memory.size <= 4, `${memory.size}`);
    for await (const { images } of loader.batches({}, { size: 8 })) {
      for (const pixels of Object.values(images)) assert.equal(pixels.length, 16 * 8 * 8 * 3);
      break;
    }
    await loader.close();
  });

  it('divides every batch into parts, broken samples or not', async () => {
    for (const source of [whole, broken]) {
      const { batches } = await take(source, { count: 26, workers: 0 });
      const parts = await Promise.all(
        [0, 1, 2].map((index) =>
          take(source, { count: 26, workers: 0, part: { index, count: 3 } }),
        ),
      );
      for (const [i, { captions, images, next, epoch }] of batches.entries()) {
        const found = parts.flatMap((part) => part.batches[i] ?? []);
        assert.deepEqual(
          found.map(({ size }) => size),
          [5, 5, 6],
        );
        assert.deepEqual(
          found.flatMap((part) => part.captions),
          captions,
        );
        for (const view of Object.keys(images)) {
          const pixels = Buffer.concat(found.map((part) => part.images[view] ?? assert.fail()));
          assert.deepEqual(pixels, Buffer.from(images[view] ?? assert.fail()));
        }
        assert.deepEqual(
          found.map((part) => [part.next, part.epoch]),
          [next, next, next].map((position) => [position, epoch]),
        );
      }
    }
  });

  it('goes on from any batch as if it had never stopped', async () => {
    const { batches } = await take(whole, { count: 28, workers: 0 });
    for (const done of [5, 12, 13]) {
      const start = batches[done - 1]?.next ?? {};
      const rest = await take(whole, { count: 28 - done, workers: 1, start });
      assert.equal(digest(rest.batches), digest(batches.slice(done)));
    }
  });

  it('visits each sample at most once an epoch, in another order each time', async () => {
    const { batches, loader } = await take(whole, { count: 24, workers: 0 });
    assert.equal(loader.batchesPerEpoch, 12);
    const epochs = [0, 1].map((epoch) =>
      batches.filter((batch) => batch.epoch === epoch).flatMap(({ indices }) => [...indices]),
    );
    for (const visited of epochs) assert.equal(new Set(visited).size, 192);
    assert.notDeepEqual(epochs[0], epochs[1]);
  });

  it('gives the last, smaller batch if asked to', async () => {
    const { batches } = await take(whole, { count: 14, workers: 0, dropLast: false });
    assert.deepEqual(
      batches.slice(11).map(({ size, epoch }) => [size, epoch]),
      [
        [16, 0],
        [8, 0],
        [16, 1],
      ],
    );
    assert.equal(batches[12]?.images.image?.length, 8 * 16 * 16 * 3);
  });

  it('quarantines broken samples, fills their slots, and stays the same', async () => {
    const path = join(directory, 'quarantine.jsonl');
    const runs = [];
    for (const workers of [0, 2]) {
      const quarantine = { path: `${path}-${workers}` };
      const { batches, loader } = await take(broken, { count: 26, workers, quarantine });
      assert.deepEqual(loader.quarantine.samples.map(({ key }) => key).sort(), [
        'cut-120.png',
        'cut-17.png',
      ]);
      const lines = (await readFile(quarantine.path, 'utf8')).trim().split('\n');
      assert.equal(lines.length, 2);
      for (const line of lines)
        assert.ok((JSON.parse(line) as { reason: string }).reason.length > 5);
      for (const { size, indices } of batches) {
        assert.equal(size, 16);
        for (const index of truncated) assert.ok(!indices.includes(index));
      }
      runs.push(digest(batches));
      // An image that fills a place is the one that its index says.
      const later = await take(broken, { count: 20, workers: 0, start: batches[5]?.next ?? {} });
      assert.equal(digest(later.batches), digest(batches.slice(6)));
    }
    assert.equal(runs[0], runs[1]);
  });

  it('stops when too many samples are broken', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => `${i % 2 ? 'cut-' : ''}${i}.png,c`);
    const path = join(directory, 'bad.csv');
    await writeFile(path, ['image,caption', ...rows].join('\n'));
    const source = await openSource(`csv:${path}`);
    await assert.rejects(
      take(source, { count: 5, workers: 1 }),
      (error) => error instanceof BantamError && error.message.includes('broken, more than 5 %'),
    );
    const { loader } = await take(source, {
      count: 5,
      workers: 0,
      quarantine: { maxFraction: 0.6 },
    });
    assert.equal(loader.quarantine.count, 20);
  });

  it('quarantines records without captions, as of images that show no class', async () => {
    const { spec, size, labelSets, captionTemplates, augment, licences } = whole;
    const some: Source = {
      ...{ spec, size, labelSets, captionTemplates, augment, licences },
      record: (index) => ({ ...whole.record(index), ...(index === 50 && { captions: [] }) }),
      location: (index) => whole.location(index),
      image: (index) => whole.image(index),
    };
    const { batches, loader } = await take(some, { count: 12, workers: 0 });
    assert.deepEqual(loader.quarantine.samples, [{ key: '50.png', reason: 'it has no caption' }]);
    assert.ok(batches.every(({ indices }) => !indices.includes(50)));
    assert.deepEqual(
      batches.map(({ size: samples }) => samples),
      new Array(12).fill(16),
    );
  });

  it('says so when every sample is broken', async () => {
    const path = join(directory, 'none.csv');
    await writeFile(path, 'image,caption\ncut-1.png,a\ncut-2.png,b\nmissing.png,c\n');
    const source = await openSource(`csv:${path}`);
    await assert.rejects(take(source, { count: 1, workers: 0, batchSize: 2 }), /Every sample/);
  });

  it('refuses a batch that no epoch can fill, and an unknown operation', () => {
    assert.throws(() => new Loader(whole, { ...options, batchSize: 201 }), /choose from 1 to 200/);
    assert.throws(
      () => new Loader(whole, { ...options, views: { image: [{ op: 'edges', gain: [0, 1] }] } }),
      BantamError,
    );
  });

  it('says that it was closed, however often', async () => {
    const loader = new Loader(whole, { ...options, workers: 1 });
    const refused = assert.rejects(loader.batches().next(), /closed/);
    await loader.close();
    await loader.close();
    await refused;
    await assert.rejects(loader.batches().next(), /closed/);
  });

  it('measures the wait and does not keep the process alive', () => {
    const index = new URL('../index.js', import.meta.url).href;
    const script = `
      import { Loader, openSource } from '${index}';
      const source = await openSource('csv:${join(directory, 'whole.csv')}');
      const loader = new Loader(source, { batchSize: 8, views: { image: [] }, size: 8, seed: 1, workers: 2 });
      for await (const batch of loader.batches()) {
        console.log(batch.size, loader.waitSeconds > 0);
        break;
      }`;
    const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 30_000,
      encoding: 'utf8',
    });
    assert.equal(stdout, '8 true\n');
    assert.equal(status, 0);
  });
});

describe('epochOrder', () => {
  const grouping = {
    groups: Int32Array.from([0, 0, 0, 1, 2, 2]),
    count: 3,
    weights: Float32Array.from([2, 1, 1, 1, 1, 3]),
  };

  it('draws one member of each group by weight', () => {
    const counts = new Array<number>(6).fill(0);
    for (let epoch = 0; epoch < 4000; epoch++) {
      const order = [...epochOrder({ size: 6, grouping }, 1, epoch)];
      assert.deepEqual(order.map((record) => grouping.groups[record]).sort(), [0, 1, 2]);
      for (const record of order) counts[record] = (counts[record] ?? 0) + 1;
    }
    const expected = [2000, 1000, 1000, 4000, 1000, 3000];
    for (const [record, count] of counts.entries()) {
      assert.ok(Math.abs(count - (expected[record] ?? 0)) < 150, counts.join(' '));
    }
  });

  it('is a pure function of seed and epoch', () => {
    const source = { size: 50 };
    assert.deepEqual(epochOrder(source, 1, 2), epochOrder(source, 1, 2));
    assert.notDeepEqual(epochOrder(source, 1, 2), epochOrder(source, 1, 3));
    assert.notDeepEqual(epochOrder(source, 1, 2), epochOrder(source, 2, 2));
    assert.equal(new Set(epochOrder(source, 1, 2)).size, 50);
  });
});
