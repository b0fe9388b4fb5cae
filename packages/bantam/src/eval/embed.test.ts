import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { liveTensors, narrow, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import { openSource, type Source } from '../data/index.js';
import { disposeEmbeddings, embedSource } from './embed.js';
import { encodeTexts } from './encode.js';
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

  it('ends after the present batch of images or texts when the signal comes', async () => {
    for (const [stage, batches] of [
      ['images', 1],
      ['texts', 4],
    ] as const) {
      const controller = new AbortController();
      let seen = 0;
      const onProgress = (progress: { stage: string }): void => {
        seen += 1;
        if (progress.stage === stage) controller.abort(new RangeError('enough'));
      };
      const options = { batchSize: 2, signal: controller.signal, onProgress };
      await assert.rejects(embedSource(loaded, source, options), { message: 'enough' });
      assert.equal(seen, batches, stage);
    }
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
