import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fixture } from '../../test-support/text-fixture.js';
import { loadTokenizer } from '../file-tokenizer.js';
import { trainTokenizer } from '../train-tokenizer.js';
import { sampleCaptions } from './corpus.js';
import { digamma } from './expectation-maximization.js';
import { isOneScript } from './scripts.js';
import { trainUnigram, type TrainUnigramOptions } from './train-unigram.js';

const captions = fixture('captions.json') as string[];
const reference = fixture('sentencepiece/trained.json') as Record<string, [string, number][]>;

const defaults: TrainUnigramOptions = {
  vocabSize: 100,
  characterCoverage: 0.9995,
  byteFallback: false,
  normalization: 'nmt_nfkc',
  maxCaptions: 1000,
};
const bytes: TrainUnigramOptions = {
  ...defaults,
  vocabSize: 350,
  byteFallback: true,
  normalization: 'identity',
  characterCoverage: 0.98,
};

describe('trainUnigram', () => {
  for (const [name, options] of Object.entries({ nmt_nfkc: defaults, bytes })) {
    it(`gives the tokens and scores of SentencePiece's trainer: ${name}`, () => {
      const ordinary = reference[name]?.filter(([, score]) => score !== 0);
      const { tokens } = trainUnigram(captions, options);
      assert.deepEqual(
        tokens.filter(({ type }) => type === 1).map(({ text, score }) => [text, score]),
        ordinary,
      );
    });
  }

  it('has padding, unknown and bytes first and the end last', () => {
    const { tokens, padId, eosId } = trainUnigram(captions, bytes);
    assert.deepEqual(
      [0, 1, 2, 257].map((id) => tokens[id]?.text),
      ['<pad>', '<unk>', '<0x00>', '<0xFF>'],
    );
    assert.deepEqual([padId, eosId, tokens.at(-1)?.text], [0, tokens.length - 1, '</s>']);
  });

  it('does not depend on the order of the captions but for the last one', () => {
    const [last = '', ...others] = captions.toReversed();
    assert.deepEqual(trainUnigram([...others, last], defaults), trainUnigram(captions, defaults));
  });

  it('refuses vocabularies without room for the characters, and no captions', () => {
    assert.throws(() => trainUnigram(captions, { ...defaults, vocabSize: 20 }), {
      name: 'BantamError',
      message:
        /A vocabulary of 20 ids cannot hold the \d+ characters of the captions and 3 special/,
    });
    for (const empty of [[], ['', '  ']]) {
      assert.throws(() => trainUnigram(empty, defaults), {
        name: 'BantamError',
        message: 'There are no words to train a tokenizer on; give it captions.',
      });
    }
  });

  it('makes a tokenizer that pools at its end token and loads again', async () => {
    const tokenizer = trainTokenizer(captions, { type: 'unigram', vocabSize: 90 });
    assert.equal(tokenizer.eotId, tokenizer.vocabSize - 1);
    const folder = await mkdtemp(join(tmpdir(), 'bantam-unigram-'));
    await tokenizer.save(folder);
    const again = await loadTokenizer(folder);
    const text = 'The ｃａｔ &amp; a dog\u0301';
    assert.deepEqual(again.encode(text), tokenizer.encode(text));
    assert.equal(again.decode(again.encode('a photo of the cat')), 'a photo of the cat');
  });
});

describe('sampleCaptions', () => {
  it('keeps all captions within the cap, and as many as the cap beyond, from everywhere', () => {
    const many = Array.from({ length: 1000 }, (_, i) => `caption ${i}`);
    assert.deepEqual(sampleCaptions(many, 1000), many);
    const kept = sampleCaptions(many, 100).map((text) => Number(text.slice(8)));
    assert.equal(new Set(kept).size, 100);
    const mean = kept.reduce((sum, index) => sum + index, 0) / 100;
    // The mean of 100 of 1000 has a standard deviation of 27.
    assert.ok(Math.abs(mean - 500) < 90, `${mean}`);
    assert.deepEqual(sampleCaptions(many, 100), sampleCaptions(many, 100));
  });

  it('leaves out empty captions and those of more than 4192 bytes', () => {
    assert.deepEqual(sampleCaptions(['a', '', 'é'.repeat(2097), 'é'.repeat(2096)], 9), [
      'a',
      'é'.repeat(2096),
    ]);
  });
});

describe('digamma', () => {
  it('is the derivative of ln Γ', () => {
    const EULER = 0.5772156649015329;
    assert.ok(Math.abs(digamma(1) + EULER) < 1e-9);
    assert.ok(Math.abs(digamma(0.5) + EULER + 2 * Math.LN2) < 1e-9);
    assert.ok(Math.abs(digamma(10) - (7129 / 2520 - EULER)) < 1e-9);
  });
});

describe('isOneScript', () => {
  it('joins the Japanese scripts and lets marks follow any', () => {
    const texts = ['東京タワー', 'カタ', 'e\u0301a', '123', 'abc', 'привет'];
    assert.deepEqual(
      texts.map(isOneScript),
      texts.map(() => true),
    );
    const mixed = ['F1', "don't", 'aб', '東a', 'a😀'];
    assert.deepEqual(
      mixed.map(isOneScript),
      mixed.map(() => false),
    );
  });
});
