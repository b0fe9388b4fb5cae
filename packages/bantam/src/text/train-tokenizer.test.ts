import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BantamError } from '../base/errors.js';
import { fixture } from '../test-support/text-fixture.js';
import { loadTokenizer } from './file-tokenizer.js';
import { trainTokenizer } from './train-tokenizer.js';

type Cases = [text: string, ids: number[]][];

const captions = fixture('captions.json') as string[];
const expected = fixture('trained-ids.json') as { tokenizers: Cases; openClip: Cases };
const trained = fileURLToPath(new URL('../../fixtures/text/trained', import.meta.url));
const options = { vocabSize: 700, contextLength: 24 };

describe('trainTokenizer', () => {
  it('writes the files that Python has read, merge for merge', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-trained-'));
    await trainTokenizer(captions, options).save(directory);
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
      const mine = JSON.parse(await readFile(join(directory, name), 'utf8')) as unknown;
      assert.deepEqual(mine, fixture(`trained/${name}`), name);
    }
  });

  it("gives the ids and the padding of OpenCLIP's HFTokenizer", () => {
    const tokenizer = trainTokenizer(captions, options);
    const texts = expected.openClip.map(([text]) => text);
    const { ids, shape } = tokenizer.encodeBatch(texts, { length: 'context' });
    assert.deepEqual(shape, [texts.length, 24]);
    assert.deepEqual(
      Array.from(ids, Number),
      expected.openClip.flatMap(([, row]) => row),
    );
  });

  it("gives the ids of Python's tokenizers without cleaning", async () => {
    const tokenizer = await loadTokenizer(trained, { clean: 'none', contextLength: 2000 });
    for (const [text, ids] of expected.tokenizers) {
      assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text.slice(0, 60)));
    }
  });

  it('numbers padding 0 and the special tokens highest', () => {
    const tokenizer = trainTokenizer(captions, { vocabSize: 600 });
    assert.equal(tokenizer.vocabSize, 600);
    assert.deepEqual([tokenizer.padId, tokenizer.sotId, tokenizer.eotId], [0, 598, 599]);
    assert.equal(tokenizer.contextLength, 32);
    assert.ok(!tokenizer.encode('any ! text \u0000 at all 🦜').includes(0));
  });

  it('pads to the longest text of a batch', () => {
    const tokenizer = trainTokenizer(captions, options);
    const texts = ['cat', 'a photo of the cat', ''];
    const { ids, shape } = tokenizer.encodeBatch(texts);
    const rows = texts.map((text) => tokenizer.encode(text));
    assert.deepEqual(shape, [3, rows[1]?.length]);
    const padded = rows.flatMap((row) => [...row, ...Array<number>(shape[1] - row.length).fill(0)]);
    assert.deepEqual(Array.from(ids, Number), padded);
    assert.deepEqual(tokenizer.encodeBatch([]).shape, [0, 0]);
  });

  it('does not depend on the order of the captions', () => {
    const reversed = trainTokenizer([...captions].reverse(), options);
    const tokenizer = trainTokenizer(captions, options);
    for (const caption of captions) {
      assert.deepEqual(reversed.encode(caption), tokenizer.encode(caption));
    }
  });

  it('turns ids back to text', () => {
    const tokenizer = trainTokenizer(captions, options);
    assert.equal(tokenizer.decode(tokenizer.encode('A  CAFÉ 😀, 東京')), 'a café 😀, 東京');
  });

  it('refuses too small a vocabulary, too short a context and nothing to learn from', () => {
    assert.throws(() => trainTokenizer(captions, { vocabSize: 500 }), BantamError);
    assert.throws(() => trainTokenizer(captions, { contextLength: 2 }), BantamError);
    assert.throws(() => trainTokenizer(['', ' ']), BantamError);
  });
});
