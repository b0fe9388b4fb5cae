import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { BantamError } from '../base/errors.js';
import { fixture } from '../test-support/text-fixture.js';
import { clipTokenizer } from './clip-tokenizer.js';
import { loadTokenizer } from './file-tokenizer.js';

const path = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/text/clip/${name}`, import.meta.url));
const files = { mergesFile: path('merges.txt'), vocabFile: path('vocab.json') };
const ids = fixture('clip/ids.json') as [text: string, ids: number[]][];

describe('clipTokenizer', () => {
  it('gives the ids and the padding of OpenCLIP, whatever the text', async () => {
    const tokenizer = await clipTokenizer(files);
    const batch = tokenizer.encodeBatch(
      ids.map(([text]) => text),
      { length: 'context' },
    );
    assert.deepEqual(batch.shape, [ids.length, 77]);
    ids.forEach(([text, expected], i) => {
      const row = Array.from(batch.ids.subarray(i * 77, (i + 1) * 77), Number);
      assert.deepEqual(row, expected, JSON.stringify(text.slice(0, 60)));
    });
  });

  it('knows the ids that everybody knows', async () => {
    const tokenizer = await clipTokenizer(files);
    assert.deepEqual(
      tokenizer.encode('a photo of a cat'),
      [49406, 320, 1125, 539, 320, 2368, 49407],
    );
    assert.deepEqual(tokenizer.encode(''), [49406, 49407]);
    const { vocabSize, sotId, eotId, padId, contextLength } = tokenizer;
    assert.deepEqual([vocabSize, sotId, eotId, padId, contextLength], [49408, 49406, 49407, 0, 77]);
  });

  it('cuts long captions and keeps the end token last', async () => {
    const tokenizer = await clipTokenizer({ ...files, contextLength: 5 });
    assert.deepEqual(tokenizer.encode('a photo of a cat'), [49406, 320, 1125, 539, 49407]);
  });

  it('decodes to the cleaned text', async () => {
    const tokenizer = await clipTokenizer(files);
    const { ids: batch } = tokenizer.encodeBatch(['Hello, World!', 'naïve café Ångström']);
    assert.equal(tokenizer.decode(batch.subarray(8)), 'naïve café ångström');
    assert.equal(tokenizer.decode(tokenizer.encode('')), '');
  });

  it('numbers the tokens itself if there is no vocabulary, from packed merges too', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-clip-'));
    const mergesFile = join(directory, 'bpe.txt.gz');
    await writeFile(mergesFile, gzipSync('"header"\nc a\nca t</w>\n'));
    const tokenizer = await clipTokenizer({ mergesFile });
    // 256 bytes, 256 bytes that end a word, two merges, start and end.
    assert.deepEqual(tokenizer.encode('cat CA'), [514, 513, 66, 320, 515]);
    assert.equal(tokenizer.vocabSize, 516);
  });

  it('is the same after it has been saved and loaded', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-clip-'));
    const tokenizer = await clipTokenizer(files);
    await tokenizer.save(directory);
    const loaded = await loadTokenizer(directory);
    assert.equal(loaded.contextLength, 77);
    assert.equal(loaded.padId, 0);
    for (const [text] of ids) assert.deepEqual(loaded.encode(text), tokenizer.encode(text));
  });

  it('names the file that is missing or wrong', async () => {
    await assert.rejects(
      clipTokenizer({ mergesFile: 'no/merges.txt' }),
      (error) => error instanceof BantamError && error.message.includes('no/merges.txt'),
    );
    await assert.rejects(
      clipTokenizer({ mergesFile: files.vocabFile }),
      (error) => error instanceof BantamError && error.message.includes('not a pair of tokens'),
    );
  });
});
