import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BantamError } from '../base/errors.js';
import { fixture } from '../test-support/text-fixture.js';
import { loadTokenizer } from './hub-tokenizer.js';

const directoryOf = (kind: string): string =>
  fileURLToPath(new URL(`../../fixtures/text/kinds/${kind}`, import.meta.url));

describe('loadTokenizer', () => {
  for (const kind of ['wordpiece', 'gpt2', 'unigram', 'whitespace']) {
    it(`gives the ids of Python's tokenizers for ${kind}`, async () => {
      const tokenizer = await loadTokenizer(directoryOf(kind), { contextLength: 5000 });
      for (const [text, ids] of fixture(`kinds/${kind}/ids.json`) as [string, number[]][]) {
        assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text.slice(0, 60)));
      }
    });
  }

  it('takes special tokens from the post-processor and keeps them when it cuts', async () => {
    const bert = await loadTokenizer(directoryOf('wordpiece'), { contextLength: 6 });
    const long = bert.encode('a photo of the cat running over the mountains');
    assert.deepEqual([bert.sotId, bert.eotId, long[0], long.at(-1)], [2, 3, 2, 3]);
    assert.equal(long.length, 6);
    const t5 = await loadTokenizer(directoryOf('unigram'), { contextLength: 6 });
    assert.deepEqual([t5.sotId, t5.eotId], [-1, 1]);
    assert.equal(t5.encode('a photo of the cat running').at(-1), 1);
  });

  it('reads context and special tokens from the files beside tokenizer.json', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-load-'));
    const write = (name: string, value: object): Promise<void> =>
      writeFile(join(directory, name), JSON.stringify(value));
    await write('tokenizer.json', fixture('kinds/gpt2/tokenizer.json') as object);
    await write('special_tokens_map.json', { pad_token: { content: 'a' }, eos_token: 'b' });
    await write('tokenizer_config.json', { model_max_length: 9, eos_token: '<|endoftext|>' });
    const tokenizer = await loadTokenizer(join(directory, 'tokenizer.json'));
    const letterA = tokenizer.encode('a')[0];
    assert.deepEqual([tokenizer.contextLength, tokenizer.padId, tokenizer.eotId], [9, letterA, 0]);
    assert.equal(tokenizer.encode('x'.repeat(50)).length, 9);
  });

  it('says what is wrong with the files', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-load-'));
    const file = join(directory, 'tokenizer.json');
    const fails = (words: string) => (error: unknown) =>
      error instanceof BantamError && error.message.includes(words);
    await assert.rejects(loadTokenizer(directory), fails('There is no'));
    await writeFile(file, '{');
    await assert.rejects(loadTokenizer(directory), fails('is not JSON'));
    await writeFile(file, '{}');
    await assert.rejects(loadTokenizer(directory), fails('has no "model"'));
    await writeFile(file, '{"model": {"type": "Quantum"}}');
    await assert.rejects(loadTokenizer(file), fails('cannot be read'));
  });
});
