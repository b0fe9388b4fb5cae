import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Tokenizer } from '../../text/index.js';
import { modelConfig } from '../presets/presets.js';
import { saveTokenizer } from './tokenizer-files.js';

/** A tokenizer that gives the same ids for every text, and is not written anywhere. */
function fixedIds(ids: number[], padId: number): Tokenizer {
  return {
    vocabSize: 49408,
    contextLength: 77,
    sotId: 49406,
    eotId: 49407,
    padId,
    encode: () => ids,
    encodeBatch: () => ({ ids: BigInt64Array.from(ids, BigInt), shape: [1, ids.length] }),
    decode: () => '',
    save: () => Promise.resolve(),
  };
}

describe('saveTokenizer', () => {
  const { text } = modelConfig('MobileCLIP2-S0');
  // "a photo of a cat" in OpenAI's vocabulary.
  const openAi = [49406, 320, 1125, 539, 320, 2368, 49407];
  const nameOf = async (tokenizer: Tokenizer) =>
    (await saveTokenizer('nowhere', tokenizer, text)).hfTokenizerName;

  it("leaves OpenAI's vocabulary to OpenCLIP's own tokenizer, which pads with id 0", async () => {
    assert.equal(await nameOf(fixedIds(openAi, 0)), null);
  });

  it('names the files of any other tokenizer', async () => {
    assert.equal(await nameOf(fixedIds(openAi, 49407)), 'bantam');
    assert.equal(await nameOf(fixedIds([49406, 5, 49407], 0)), 'bantam');
  });
});
