import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BantamError } from '../base/errors.js';
import { fixture } from '../test-support/text-fixture.js';
import { loadTokenizer } from './file-tokenizer.js';

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

  it('names the fault of the files', async () => {
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

  it('refuses ids outside of the embedding, in any file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'bantam-load-'));
    const file = join(directory, 'tokenizer.json');
    const whole = fixture('kinds/gpt2/tokenizer.json') as {
      model: { vocab: Record<string, number> };
      added_tokens: object[];
    };
    const refuses = async (changes: object, words: RegExp): Promise<void> => {
      await writeFile(file, JSON.stringify({ ...whole, ...changes }));
      await assert.rejects(
        loadTokenizer(file),
        (error) => error instanceof BantamError && words.test(error.message),
        JSON.stringify(changes).slice(0, 100),
      );
    };
    const withVocab = (id: unknown): object => ({
      model: { ...whole.model, vocab: { ...whole.model.vocab, cat: id } },
    });
    await refuses(withVocab(1.5), /"cat" the id 1.5, which is no whole number/);
    await refuses(withVocab('7'), /"cat" the id 7/);
    await refuses(withVocab(-1), /"cat" the id -1/);
    await refuses({ added_tokens: [{ id: 2 ** 31, content: '<x>' }] }, /"<x>" the id 2147483648/);
    await refuses({ added_tokens: [null] }, /"added_tokens" of .* are no list of tokens/);
    await refuses({ padding: { pad_id: 1.5 } }, /padding the id 1.5/);
  });

  it('refuses text without an id if the vocabulary has no unknown token', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'bantam-load-')), 'tokenizer.json');
    const whole = fixture('kinds/whitespace/tokenizer.json') as { model: object };
    const model = { ...whole.model, unk_token: 0 };
    await writeFile(file, JSON.stringify({ ...whole, model }));
    const tokenizer = await loadTokenizer(file);
    assert.throws(() => tokenizer.encode("it's 1234 ünïcödé 日本 😀"), {
      name: 'BantamError',
      message: /gives a part of a text the id undefined/,
    });
  });
});
