import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { liveTensors, loadSafetensors, narrow, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { openSource, type Source } from '../data/index.js';
import { disposeEmbeddings, embedSource } from './embed.js';
import { openEmbeddings, saveEmbeddings } from './embedding-file.js';
import { encodeTexts } from './encode.js';
import { ImageIndex } from './image-index.js';
import { search } from './search.js';
import { tinyModel, writeImages } from '../test-support/tiny-model.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-embed-'));
const loaded = tinyModel();
let source: Source;

before(async () => {
  const folder = join(directory, 'images');
  await writeImages(folder, { cat: ['red', 'blue', '#123'], sea_horse: ['lime', 'gold'] });
  writeFileSync(join(folder, 'cat', '1.png'), 'no image');
  source = await openSource(`folder:${folder}`);
});

after(() => {
  rmSync(directory, { recursive: true });
});

function rowsOf(features: Tensor): number[][] {
  return Array.from({ length: features.dim(0) }, (_, row) => narrow(features, 0, row, 1).toArray());
}

function assertNear(actual: Tensor, wanted: Tensor, tolerance = 1e-5): void {
  assert.deepEqual(actual.shape, wanted.shape);
  const other = wanted.toArray();
  const worst = Math.max(
    ...actual.toArray().map((value, at) => Math.abs(value - (other[at] ?? NaN))),
  );
  assert.ok(worst < tolerance, `differs by ${worst}`);
}

/** Frees tensors that earlier cases left to the garbage collector, so that no count falls in between. */
async function freeGarbage(): Promise<void> {
  let live: number;
  do {
    live = liveTensors();
    globalThis.gc?.();
    // Finalizers run in a turn of the event loop after the collection.
    await setImmediate();
    await setImmediate();
  } while (liveTensors() < live);
}

describe('encodeTexts', () => {
  const texts = ['a long sentence here', 'b', 'cc', 'b', 'dddd', 'b'];

  it('gives rows of length 1 in the order of the texts, whatever the batches', async () => {
    const features = await encodeTexts(loaded, texts);
    assert.deepEqual(features.shape, [6, 8]);
    for (const row of rowsOf(features)) assert.ok(Math.abs(Math.hypot(...row) - 1) < 1e-6);
    for (const [row, text] of texts.entries()) {
      assertNear(narrow(features, 0, row, 1), await encodeTexts(loaded, [text]));
    }
    assertNear(await encodeTexts(loaded, texts, { batchSize: 2 }), features);
  });

  it('computes equal texts once and texts of like length together', async () => {
    loaded.tokenizer.batches.length = 0;
    const seen: [number, number][] = [];
    const onProgress = (done: number, total: number) => seen.push([done, total]);
    await encodeTexts(loaded, texts, { batchSize: 2, onProgress });
    assert.deepEqual(loaded.tokenizer.batches, [
      ['b', 'cc'],
      ['dddd', 'a long sentence here'],
    ]);
    assert.deepEqual(seen, [
      [2, 4],
      [4, 4],
    ]);
  });

  it('computes in bf16 when asked to, close to float32 but not equal', async () => {
    const exact = await encodeTexts(loaded, texts);
    const half = await encodeTexts(loaded, texts, { precision: 'bfloat16' });
    assert.equal(half.dtype, 'float32');
    assertNear(half, exact, 0.05);
    assert.notDeepEqual(half.toArray(), exact.toArray());
  });
});

describe('embedSource', () => {
  it('refuses a model without a tokenizer before images are embedded', async () => {
    const wordless = {
      ...loaded,
      get tokenizer(): never {
        throw new BantamError('no tokenizer');
      },
    };
    const seen: string[] = [];
    const onProgress = ({ stage }: { stage: string }) => void seen.push(stage);
    await assert.rejects(embedSource(wordless, source, { onProgress }), {
      message: 'no tokenizer',
    });
    assert.deepEqual(seen, []);
  });

  it('has a row for each image that can be read, in the order of the source', async () => {
    const whole = await embedSource(loaded, source);
    assert.deepEqual(whole.keys, ['cat/0.png', 'cat/2.png', 'sea_horse/0.png', 'sea_horse/1.png']);
    assert.deepEqual([...whole.records], [0, 2, 3, 4]);
    assert.deepEqual(
      whole.quarantined.map(({ key }) => key),
      ['cat/1.png'],
    );
    assert.deepEqual(whole.captions, ['a photo of a cat.', 'a photo of a sea horse.']);
    assert.deepEqual(whole.captionsOf, [[0], [0], [1], [1]]);
    assert.deepEqual(whole.text.shape, [2, 8]);
    for (const row of rowsOf(whole.image)) assert.ok(Math.abs(Math.hypot(...row) - 1) < 1e-6);
    const parts = await embedSource(loaded, source, { batchSize: 3 });
    assert.deepEqual(parts.keys, whole.keys);
    assertNear(parts.image, whole.image);
  });

  it('embeds all captions when asked to, each once', async () => {
    const { captions, captionsOf, text } = await embedSource(loaded, source, { captions: 'all' });
    assert.equal(new Set(captions).size, 8);
    assert.deepEqual(text.shape, [8, 8]);
    assert.deepEqual(captionsOf[0], [0, 1, 2, 3]);
    assert.deepEqual(captionsOf[3], [4, 5, 6, 7]);
  });

  it('reports progress, lets the event loop run, and leaves no tensors behind', async () => {
    await freeGarbage();
    const start = liveTensors();
    const seen: string[] = [];
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const embeddings = await embedSource(loaded, source, {
      batchSize: 2,
      onProgress: ({ stage, done, total }) => seen.push(`${stage} ${done}/${total}`),
    });
    clearInterval(timer);
    assert.deepEqual(seen, ['images 1/5', 'images 3/5', 'images 4/5', 'texts 2/2']);
    assert.ok(turns > 0);
    assert.equal(liveTensors(), start + 2);
    disposeEmbeddings(embeddings);
    assert.equal(liveTensors(), start);
  });
});

describe('an embedding file', () => {
  it('holds image and text [N, D] in the order of the source, and the keys', async () => {
    const embeddings = await embedSource(loaded, source, { captions: 'all' });
    const path = join(directory, 'all.safetensors');
    saveEmbeddings(path, embeddings, { spec: source.spec, model: 'somewhere' });
    const { tensors, metadata } = loadSafetensors(path);
    assert.deepEqual([...tensors.keys()].sort(), ['image', 'text']);
    assert.deepEqual(tensors.get('image')?.toArray(), embeddings.image.toArray());
    const texts = embeddings.captionsOf.map(([row = 0]) => embeddings.captions[row] ?? '');
    assert.ok(tensors.get('text'));
    assertNear(tensors.get('text') ?? embeddings.image, await encodeTexts(loaded, texts));
    assert.deepEqual(JSON.parse(metadata.keys ?? ''), embeddings.keys);
    const opened = openEmbeddings(path);
    assert.equal(opened.spec, source.spec);
    assert.equal(opened.model, 'somewhere');
    assert.deepEqual(opened.index.keys, embeddings.keys);
  });

  it('that is none is refused in one sentence', () => {
    const path = join(directory, 'damaged.safetensors');
    writeFileSync(path, 'nothing');
    assert.throws(() => openEmbeddings(path), { name: 'BantamError' });
    assert.throws(() => openEmbeddings(join(directory, 'none')), { name: 'BantamError' });
  });
});

describe('search', () => {
  const features = Float32Array.of(1, 0, 0, 1, 0.6, 0.8, 0, 1);
  const index = new ImageIndex({ keys: ['a', 'b', 'c', 'd'], features, width: 2 });

  it('orders images by their cosine, equals by their place', () => {
    const hits = index.nearest(Float32Array.of(0, 1), 3);
    assert.deepEqual(
      hits.map(({ key, row }) => [key, row]),
      [
        ['b', 1],
        ['d', 3],
        ['c', 2],
      ],
    );
    assert.deepEqual(
      hits.map(({ score }) => score),
      [1, 1, Math.fround(0.8)],
    );
    assert.equal(index.nearest(Float32Array.of(1, 0), 9).length, 4);
    assert.deepEqual(index.nearest(Float32Array.of(1, 0), 1)[0]?.key, 'a');
  });

  it('finds for a text the images whose features are closest to its own', async () => {
    const vectors = await encodeTexts(loaded, ['cat', 'horse']);
    const own = new ImageIndex({
      keys: ['cat', 'horse'],
      features: vectors.toTypedArray() as Float32Array,
      width: 8,
    });
    const found = await search(loaded, own, ['horse', 'cat'], { k: 1 });
    assert.deepEqual(
      found.map((hits) => hits.map(({ key }) => key)),
      [['horse'], ['cat']],
    );
  });

  it('refuses what does not fit together', () => {
    assert.throws(() => index.nearest(new Float32Array(3), 1), /3 dimensions and the images 2/);
    assert.throws(() => new ImageIndex({ keys: ['a'], features, width: 2 }), /1 keys for 4/);
  });
});
