import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { augmentations } from '../augment/presets.js';
import { Loader, type Batch, type LoaderOptions } from './loader.js';
import { openSource } from '../sources/open-source.js';
import { Quarantine } from './quarantine.js';
import { replayBatches, replayCaptions, type Replay, type ReplayBatch } from './replay.js';
import type { Source } from '../sources/source.js';
import { writeTextures } from '../../test-support/textures.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-replay-'));
const records = 12;
// The files are halved while they are decoded.
const replay: Replay = { seed: 7, augmentations: 3, captions: 4, decodeSide: 24 };
const augment = augmentations['stacked-rand-augment'];
let source: Source;

before(async () => {
  source = await openSource(await writeTextures(folder, records));
});
after(() => {
  rmSync(folder, { recursive: true });
});

/** All views of all records, in two ranges. */
async function allViews(
  changes: Partial<Parameters<typeof replayBatches>[1]> = {},
): Promise<{ images: Buffer; batches: ReplayBatch[]; quarantine: Quarantine }> {
  const quarantine = new Quarantine();
  const ranges = [
    { start: 0, end: 5 },
    { start: 5, end: records },
  ];
  const batches: ReplayBatch[] = [];
  const options = { replay, augment, size: 16, ranges, batchSize: 2, quarantine, workers: 0 };
  for await (const batch of replayBatches(source, { ...options, ...changes })) batches.push(batch);
  return { images: Buffer.concat(batches.map(({ images }) => images)), batches, quarantine };
}

async function load(count: number, changes: Partial<LoaderOptions>): Promise<Batch[]> {
  const options = { batchSize: 4, views: { image: augment }, size: 16, seed: 1, workers: 0 };
  const loader = new Loader(source, { ...options, ...changes });
  const batches: Batch[] = [];
  for await (const batch of loader.batches()) {
    batches.push(batch);
    if (batches.length === count) break;
  }
  await loader.close();
  return batches;
}

const imageOf = (images: Uint8Array, row: number, size = 16): Buffer =>
  Buffer.from(images.subarray(row * size * size * 3, (row + 1) * size * size * 3));

describe('replayed views and captions', () => {
  it('are those that training gets, pixel for pixel and word for word', async () => {
    const { images } = await allViews();
    const seen = new Set<string>();
    for (const batch of await load(18, { replay })) {
      const { replayed } = batch;
      assert.ok(replayed);
      batch.indices.forEach((index, i) => {
        const view = replayed.views[i] ?? NaN;
        const stored = imageOf(images, index * replay.augmentations + view);
        assert.ok(stored.equals(imageOf(batch.images.image ?? images, i)), `${index}, ${view}`);
        const caption = replayCaptions(source, index, replay)[replayed.captions[i] ?? NaN];
        assert.equal(batch.captions[i], caption);
        seen.add(`view ${view}`).add(`caption ${replayed.captions[i]}`);
        seen.add(stored.toString('base64'));
      });
    }
    // Three views, four captions; most of the 36 images, all different.
    assert.ok(seen.size > 7 + 24 && seen.size <= 7 + 36, `${seen.size}`);
  });

  it('are those of the first epochs of an ordinary run with their seed', async () => {
    const { images } = await allViews();
    for (const batch of await load(9, { seed: replay.seed, decodeSide: replay.decodeSide })) {
      assert.equal(batch.replayed, undefined);
      batch.indices.forEach((index, i) => {
        const stored = imageOf(images, index * replay.augmentations + batch.epoch);
        assert.ok(stored.equals(imageOf(batch.images.image ?? images, i)));
        assert.equal(batch.captions[i], replayCaptions(source, index, replay)[batch.epoch]);
      });
    }
  });

  it('are drawn anew for each epoch, and by the seed of the run', async () => {
    const drawn = async (seed: number): Promise<string[]> =>
      (await load(6, { seed, replay })).map(({ replayed }) => JSON.stringify(replayed));
    const [first, again, other] = await Promise.all([drawn(1), drawn(1), drawn(2)]);
    assert.deepEqual(first, again);
    assert.equal(new Set([...first, ...other]).size, 12);
  });

  it('show the same crop in every size', async () => {
    const crop = augmentations['crop-flip'];
    const [small, large] = [
      await allViews({ augment: crop, size: 16 }),
      await allViews({ augment: crop, size: 48 }),
    ];
    let worst = 0;
    for (let at = 0; at < small.images.length; at++) {
      const [channel, pixel] = [at % 3, Math.floor(at / 3)];
      const [x, y] = [pixel % 16, Math.floor(pixel / 16)];
      let sum = 0;
      for (let i = 0; i < 9; i++) {
        const place = (y * 3 + Math.floor(i / 3)) * 48 + (x % 16) * 3 + (i % 3);
        sum += large.images[place * 3 + channel] ?? 0;
      }
      worst = Math.max(worst, Math.abs(sum / 9 - (small.images[at] ?? 0)));
    }
    assert.ok(worst < 6, `${worst} levels`);
  });

  it('do not depend on threads, and name broken images', async () => {
    const path = source.location(6).path;
    const before = await allViews();
    writeFileSync(path, 'no image');
    const { batches, quarantine, images } = await allViews({ workers: 1 });
    assert.deepEqual(
      batches.map(({ first, size }) => [first, size]),
      [
        [0, 2],
        [2, 2],
        [4, 1],
        [5, 2],
        [7, 2],
        [9, 2],
        [11, 1],
      ],
    );
    assert.deepEqual(
      batches.flatMap(({ broken }) => [...broken.keys()]),
      [6],
    );
    assert.deepEqual(
      quarantine.samples.map(({ key }) => key),
      ['6.jpg'],
    );
    const bytes = 16 * 16 * 3 * replay.augmentations;
    before.images.fill(0, 6 * bytes, 7 * bytes);
    assert.ok(images.equals(before.images));
  });
});
