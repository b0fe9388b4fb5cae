import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Tokenizer } from '../../text/index.js';
import { modelConfig } from '../presets/presets.js';
import { fitTokenizer } from './fit-tokenizer.js';

/** A tokenizer of 100 ids of which only the special ones are asked for. */
function special(eotId: number, padId: number): Tokenizer {
  return {
    vocabSize: 100,
    contextLength: 8,
    sotId: -1,
    eotId,
    padId,
    encode: () => [],
    encodeBatch: () => ({ ids: new BigInt64Array(), shape: [0, 0] }),
    decode: () => '',
    save: () => Promise.resolve(),
  };
}

const pooling = (name: string, tokenizer: Tokenizer, changes = {}) => {
  const { text } = fitTokenizer(modelConfig(name, { text: changes }), tokenizer);
  assert.ok(text.type === 'transformer');
  return [text.poolType, text.textEnd, text.eosId];
};

describe('fitTokenizer', () => {
  it('leaves towers alone whose highest id ends texts', () => {
    assert.deepEqual(pooling('ViT-Nano-16-64', special(99, 0)), ['argmax', 'argmax', 2]);
  });

  it('has towers look for an end token that is another id', () => {
    assert.deepEqual(pooling('ViT-Nano-16-64', special(1, 0)), ['eos', 'argmax', 1]);
    const mean = { poolType: 'mean', noCausalMask: true, maskPadding: true };
    assert.deepEqual(pooling('ViT-Nano-16-64', special(1, 0), mean), ['mean', 'eos', 1]);
    // The last position is the last position.
    assert.deepEqual(pooling('SigLIP-Nano-64', special(1, 1)), ['last', 'argmax', 2]);
  });

  it("gives BERT's kind the padding", () => {
    const { text } = fitTokenizer(modelConfig('roberta-ViT-B-32'), special(1, 0));
    assert.equal('padId' in text && text.padId, 0);
  });

  it('refuses towers that would read a text anywhere', () => {
    assert.throws(() => fitTokenizer(modelConfig('MobileCLIP-Nano-64'), special(1, 0)), {
      name: 'BantamError',
      message:
        /A text tower of type "mobileclip" reads a text at its highest id, which does not end/,
    });
    assert.throws(() => fitTokenizer(modelConfig('ViT-Nano-16-64'), special(-1, 0)), {
      name: 'BantamError',
      message: /looks for the end token of a text, which the tokenizer does not have/,
    });
  });
});
