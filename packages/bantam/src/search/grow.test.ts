import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadSafetensors } from '@bantam/torch';
import sharp from 'sharp';
import { openSource } from '../data/index.js';
import { embedSource, type InferenceModel } from '../eval/index.js';
import { tinyModel, writeImages } from '../test-support/tiny-model.js';
import { buildIndex } from './build-index.js';
import { embedToFile } from './embedding-file.js';
import type { GrowSummary } from './grow.js';
import { openIndex } from './search-index.js';
import { encodeQuery, search } from './search.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-grow-'));
const folder = join(directory, 'images');
const loaded = tinyModel();
const name = join(directory, 'model');
const model: InferenceModel = { loaded, precision: 'float32', name };

before(async () => {
  mkdirSync(name);
  writeFileSync(join(name, 'model.safetensors'), 'weights');
  await writeImages(folder, { cat: ['red', 'blue', '#123'], sea_horse: ['lime', 'gold'] });
  writeFileSync(join(folder, 'cat', '1.png'), 'no image');
});

after(() => {
  rmSync(directory, { recursive: true });
});

const counts = ({ added, changed, relabelled, dropped, unchanged }: GrowSummary): number[] => [
  added,
  changed,
  relabelled,
  dropped,
  unchanged,
];

async function png(background: string): Promise<Buffer> {
  return sharp({ create: { width: 20, height: 16, channels: 3, background } })
    .png()
    .toBuffer();
}

describe('embedToFile', () => {
  const path = join(directory, 'all.safetensors');

  it('writes image and text [N, D] in the order of the source, and the keys', async () => {
    const source = await openSource(`folder:${folder}`);
    const summary = await embedToFile(model, source, path);
    assert.deepEqual(counts(summary), [4, 0, 0, 0, 0]);
    assert.deepEqual(
      summary.quarantined.map(({ key }) => key),
      ['cat/1.png'],
    );
    const wanted = await embedSource(loaded, source);
    const { tensors, metadata } = loadSafetensors(path);
    assert.deepEqual([...tensors.keys()].sort(), ['image', 'text']);
    assert.deepEqual(tensors.get('image')?.toArray(), wanted.image.toArray());
    const texts = wanted.text.toArray();
    const rows = wanted.captionsOf.flatMap(([row = 0]) => texts.slice(row * 8, (row + 1) * 8));
    assert.deepEqual(tensors.get('text')?.toArray(), rows);
    assert.deepEqual(JSON.parse(metadata.keys ?? ''), wanted.keys);
    assert.equal(metadata.spec, source.spec);
    assert.equal(metadata.model, 'model');
  });

  it('keeps what is unchanged, in the order of the source', async () => {
    writeFileSync(join(folder, 'cat', '0.png'), await png('black'));
    writeFileSync(join(folder, 'cat', '1.png'), await png('white'));
    rmSync(join(folder, 'sea_horse', '1.png'));
    const source = await openSource(`folder:${folder}`);
    assert.deepEqual(counts(await embedToFile(model, source, path)), [1, 1, 0, 1, 2]);
    const { tensors, metadata } = loadSafetensors(path);
    const wanted = await embedSource(loaded, source);
    assert.deepEqual(JSON.parse(metadata.keys ?? ''), wanted.keys);
    const worst = tensors
      .get('image')
      ?.toArray()
      .map((value, at) => Math.abs(value - (wanted.image.toArray()[at] ?? NaN)));
    assert.ok(Math.max(...(worst ?? [NaN])) < 1e-6);
    assert.deepEqual(counts(await embedToFile(model, source, path)), [0, 0, 0, 0, 4]);
    assert.deepEqual(
      counts(await embedToFile(model, source, path, { fresh: true })),
      [4, 0, 0, 0, 0],
    );
  });

  it('can be searched, by texts and by images, with the captions beside the keys', async () => {
    using index = await openIndex(path);
    assert.equal(index.size, 4);
    assert.equal(index.record(0).caption, 'a photo of a cat.');
    const [first] = await search(model, index, [{ image: join(folder, 'cat', '2.png') }], { k: 1 });
    assert.equal(first?.key, 'cat/2.png');
    assert.ok(first.score > 0.9999);
    assert.equal((await search(model, index, 'a photo of a cat.')).length, 4);
    const [vector] = await encodeQuery(model, index, [{ key: 'cat/2.png', weight: 2 }]);
    assert.equal(vector?.weight, 2);
    await assert.rejects(search(model, index, [{ key: 'nothing' }]), /no image "nothing"/);
    const gone = [{ image: 'gone.png' }];
    await assert.rejects(
      search(model, index, gone),
      /^BantamError: There is no file gone\.png to search with;/,
    );
    const bytes = new TextEncoder().encode('no image');
    await assert.rejects(search(model, index, [{ image: bytes }]), /cannot be read as an image/);
    await assert.rejects(search(model, index, [{ image: 'absent.jpg' }]), {
      message: 'There is no file absent.jpg to search with; name an existing image.',
    });
  });

  it('that is no embedding file is refused in one sentence', async () => {
    const damaged = join(directory, 'damaged.safetensors');
    writeFileSync(damaged, 'nothing');
    await assert.rejects(openIndex(damaged), { name: 'BantamError' });
    await assert.rejects(openIndex(join(directory, 'none.safetensors')), { name: 'BantamError' });
  });
});

describe('buildIndex', () => {
  const index = join(directory, 'index');
  const table = join(directory, 'table.csv');
  const write = (...rows: string[]): void => {
    writeFileSync(table, ['image,caption,price', ...rows].join('\n'));
  };
  const build = async (options: { unchanged?: 'time' | 'hash' | 'key' | 'size' } = {}) =>
    buildIndex(index, { model, source: await openSource(`csv:${table}`), ...options });

  it('adds, changes, relabels, drops and keeps, by key', async () => {
    write('images/cat/0.png,black,5', 'images/cat/1.png,white,7', 'images/cat/2.png,dark,9');
    assert.deepEqual(counts(await build()), [3, 0, 0, 0, 0]);
    assert.deepEqual(counts(await build()), [0, 0, 0, 0, 3]);
    writeFileSync(join(folder, 'cat', '1.png'), await png('orange'));
    write(
      'images/cat/0.png,black,6',
      'images/cat/1.png,white,7',
      'images/sea_horse/0.png,lime,1',
      'images/sea_horse/0.png,lime again,1',
    );
    assert.deepEqual(counts(await build()), [1, 1, 1, 1, 0]);
    using opened = await openIndex(index);
    const records = Array.from({ length: 6 }, (_, row) => opened.record(row));
    assert.deepEqual(records.at(3)?.meta, { price: '6' });
    assert.equal(opened.size, 3);
    const [hit] = await search(model, opened, [{ image: await png('orange') }], { k: 1 });
    assert.equal(hit?.key, 'images/cat/1.png');
  });

  it('compares images by time, hash or key', async () => {
    const file = join(folder, 'cat', '0.png');
    await build({ unchanged: 'hash' });
    utimesSync(file, new Date(), new Date(1e12));
    assert.deepEqual(counts(await build({ unchanged: 'hash' })), [0, 0, 0, 0, 3]);
    const { changed } = await build();
    assert.equal(changed, 3);
    utimesSync(file, new Date(), new Date(1.1e12));
    assert.equal((await build()).changed, 1);
    assert.equal((await build({ unchanged: 'key' })).unchanged, 3);
  });

  it('drops an image that cannot be read any more', async () => {
    writeFileSync(join(folder, 'cat', '0.png'), 'broken');
    const summary = await build();
    assert.deepEqual(counts(summary), [0, 0, 0, 1, 2]);
    assert.equal(summary.quarantined.length, 1);
  });

  it('refuses another model, for building and for searching', async () => {
    writeFileSync(join(name, 'model.safetensors'), 'other weights');
    const other = { ...model };
    const source = await openSource(`csv:${table}`);
    await assert.rejects(buildIndex(index, { model: other, source }), /made with another model/);
    using opened = await openIndex(index);
    await assert.rejects(search(other, opened, 'cat'), /made with another model/);
    assert.equal((await search(model, opened, 'cat')).length, 2);
  });
});
