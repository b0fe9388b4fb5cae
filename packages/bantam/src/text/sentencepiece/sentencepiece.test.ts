import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { fixture } from '../../test-support/text-fixture.js';
import { loadTokenizer } from '../file-tokenizer.js';
import { hubEncoder } from '../hub-encoder.js';
import { readSentencePieceModel } from './read-model.js';
import { SentencePiece } from './sentencepiece.js';
import { toTokenizerJson } from './to-tokenizer-json.js';
import { writeSentencePieceModel } from './write-model.js';

type Cases = Record<string, readonly [text: string, ids: number[], decoded: string][]>;

const cases = fixture('sentencepiece/ids.json') as Cases;

function modelBytes(name: string): Uint8Array {
  const file = new URL(`../../../fixtures/text/sentencepiece/${name}.model.gz`, import.meta.url);
  return gunzipSync(readFileSync(file));
}

/** A new folder with a model's file under a name. */
async function folderWith(name: string, file: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bantam-spm-'));
  await writeFile(join(folder, file), modelBytes(name));
  return folder;
}

const refuses = (words: RegExp) => ({ name: 'BantamError', message: words });

describe('SentencePiece', () => {
  for (const [name, rows] of Object.entries(cases)) {
    it(`gives the ids and texts of Python's sentencepiece: ${name}`, () => {
      const processor = new SentencePiece(readSentencePieceModel(modelBytes(name), name), name);
      for (const [text, ids, decoded] of rows) {
        assert.deepEqual(processor.encode(text), ids, JSON.stringify(text));
        assert.equal(processor.decode(ids), decoded, JSON.stringify(text));
      }
    });
  }

  it('takes lone surrogates for the replacement character', () => {
    const name = 'unigram-cf-bytes';
    const processor = new SentencePiece(readSentencePieceModel(modelBytes(name), name), name);
    assert.deepEqual(processor.encode('a\ud83d b'), processor.encode('a\ufffd b'));
  });

  it('keeps exact sums in texts of many thousand tokens', () => {
    const name = 'unigram-nmt-nfkc';
    const processor = new SentencePiece(readSentencePieceModel(modelBytes(name), name), name);
    const [first, ...rest] = processor.encode('the children '.repeat(30_000));
    assert.equal(rest.length + 1, 60_000);
    assert.ok(rest.every((id, i) => id === (i % 2 === 1 ? first : rest[0])));
  });
});

describe('readSentencePieceModel', () => {
  const whole = modelBytes('unigram-bare');

  it('reads what was written', () => {
    const model = readSentencePieceModel(whole, 'a');
    assert.deepEqual(readSentencePieceModel(writeSentencePieceModel(model), 'b'), model);
  });

  it('refuses files that are cut off or of something else, in a sentence', () => {
    assert.throws(
      () => readSentencePieceModel(new Uint8Array(), 'empty.model'),
      refuses(/^empty.model is not a whole SentencePiece model \(it has no tokens\)/),
    );
    const json = new TextEncoder().encode('{"model": {}}');
    assert.throws(() => readSentencePieceModel(json, 'a'), refuses(/^a is not a whole Sent/));
    let read = 0;
    for (let size = 1; size < whole.length; size += 7) {
      try {
        readSentencePieceModel(whole.subarray(0, size), 'cut');
        read++;
      } catch (error) {
        assert.match(
          String(error),
          /BantamError: cut is not a whole SentencePiece model \([^\n]+\);/,
        );
      }
    }
    // Only a cut between two tokens leaves a whole message.
    assert.ok(read < 0.25 * (whole.length / 7), `${read} read`);
  });

  it('refuses what SentencePiece refuses', () => {
    const model = readSentencePieceModel(whole, 'a');
    const [first, ...rest] = model.tokens;
    assert.ok(first !== undefined);
    const withTokens = (tokens: typeof model.tokens) => () =>
      readSentencePieceModel(writeSentencePieceModel({ ...model, tokens }), 'a');
    assert.throws(withTokens(rest), refuses(/0 tokens are unknown's, where 1 must be/));
    assert.throws(withTokens([...model.tokens, first]), refuses(/"<unk>" is there twice/));
    assert.throws(
      withTokens([...model.tokens, { text: 'z', score: NaN, type: 1 }]),
      refuses(/"z" has no finite score/),
    );
    const bytes = writeSentencePieceModel({ ...model, byteFallback: true });
    assert.throws(
      () => readSentencePieceModel(bytes, 'a'),
      refuses(/the byte token <0x00> is missing/),
    );
  });

  it('names the kinds that it does not read', () => {
    const word = new BinaryWriter();
    word
      .tag(1, WireType.LengthDelimited)
      .fork()
      .tag(1, WireType.LengthDelimited)
      .string('a')
      .join();
    word.tag(2, WireType.LengthDelimited).fork().tag(3, WireType.Varint).int32(3).join();
    assert.throws(
      () => readSentencePieceModel(word.finish(), 'words.model'),
      refuses(/^words.model is a SentencePiece model of the kind "word", but only/),
    );
  });
});

describe('loadTokenizer of a .model file', () => {
  const text = 'a photo of a cat';
  const ids = cases['unigram-bare']?.find(([own]) => own === text)?.[1] ?? assert.fail();

  it('adds the special ids of T5, SigLIP and XLM-R, or none', async () => {
    const file = join(await folderWith('unigram-bare', 'spiece.model'), 'spiece.model');
    const facts = async (wrapper: 't5' | 'siglip' | 'xlm-roberta' | 'plain') => {
      const tokenizer = await loadTokenizer(file, { wrapper, contextLength: 8, clean: 'none' });
      const { sotId, eotId, padId, vocabSize } = tokenizer;
      const long = tokenizer.encode('the '.repeat(20));
      const { ids: padded } = tokenizer.encodeBatch(['the'], { length: 'context' });
      const decoded = tokenizer.decode(tokenizer.encode('the cat'));
      const own = (await loadTokenizer(file, { wrapper })).encode(text);
      return { special: [sotId, eotId, padId, vocabSize], own, long, padded, decoded };
    };
    const t5 = await facts('t5');
    assert.deepEqual(t5.special, [-1, 2, 3, 101]);
    assert.deepEqual(t5.own, [...ids, 2]);
    assert.equal(t5.long.length, 8);
    assert.equal(t5.long.at(-1), 2);
    assert.equal(t5.padded.at(-1), 3n);
    assert.equal(t5.decoded, 'the cat');
    const siglip = await facts('siglip');
    assert.deepEqual([siglip.special[2], siglip.padded.at(-1)], [2, 2n]);
    const roberta = await facts('xlm-roberta');
    assert.deepEqual(roberta.special, [0, 2, 1, 103]);
    assert.deepEqual(roberta.own, [0, ...ids.map((id) => (id === 0 ? 3 : id + 1)), 2]);
    assert.equal(roberta.decoded, 'the cat');
    const plain = await facts('plain');
    assert.deepEqual(plain.special, [-1, -1, 3, 101]);
    assert.deepEqual(plain.own, ids);
  });

  it('guesses them by the names of the file and of the class beside it', async () => {
    const wrapperOf = async (file: string, tokenizer_class?: string) => {
      const folder = await folderWith('unigram-bare', file);
      const config = { tokenizer_class, model_max_length: 12 };
      await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
      const tokenizer = await loadTokenizer(folder);
      assert.equal(tokenizer.contextLength, 12);
      return [tokenizer.sotId, tokenizer.eotId, tokenizer.padId];
    };
    assert.deepEqual(await wrapperOf('spiece.model'), [-1, 2, 3]);
    assert.deepEqual(await wrapperOf('tokenizer.model', 'GemmaTokenizer'), [-1, 2, 3]);
    assert.deepEqual(await wrapperOf('spiece.model', 'SiglipTokenizer'), [-1, 2, 2]);
    assert.deepEqual(await wrapperOf('sentencepiece.bpe.model'), [0, 2, 1]);
    assert.deepEqual(await wrapperOf('spiece.model', 'XLMRobertaTokenizerFast'), [0, 2, 1]);
  });

  it('is the same tokenizer after saving, and wants all of its files', async () => {
    const folder = await folderWith('bpe-bytes', 'tokenizer.model');
    const tokenizer = await loadTokenizer(folder, { contextLength: 40 });
    const saved = await mkdtemp(join(tmpdir(), 'bantam-spm-'));
    await tokenizer.save(saved);
    assert.deepEqual(
      await readFile(join(saved, 'spiece.model')),
      Buffer.from(modelBytes('bpe-bytes')),
    );
    const again = await loadTokenizer(saved);
    for (const [odd] of cases['bpe-bytes'] ?? []) {
      assert.deepEqual(again.encode(odd), tokenizer.encode(odd), JSON.stringify(odd));
    }
    await rm(join(saved, 'spiece.model'));
    await assert.rejects(loadTokenizer(saved), refuses(/There is no .*spiece.model, which is the/));
  });
});

describe('toTokenizerJson', () => {
  const expected = fixture('sentencepiece/tokenizers.json') as Record<
    string,
    readonly [text: string, ids: number[]][]
  >;
  for (const [name, rows] of Object.entries(expected)) {
    it(`makes files of which both of Hugging Face's libraries compute the same ids: ${name}`, () => {
      const { tokenizer, config } = toTokenizerJson(
        readSentencePieceModel(modelBytes(name), name),
        name.startsWith('bpe') ? 't5' : 'xlm-roberta',
      );
      const hub = hubEncoder({ tokenizer, config });
      for (const [text, ids] of rows) {
        assert.deepEqual(
          [...hub.before, ...hub.encode(text), ...hub.after],
          ids,
          JSON.stringify(text),
        );
      }
    });
  }
});
