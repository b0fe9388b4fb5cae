import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Generator } from '@bantam/torch';
import { createModel, modelConfig, preprocessOf, saveModel } from '../models/index.js';
import { openTokenizer } from './open-tokenizer.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-open-tokenizer-'));
after(() => {
  rmSync(folder, { recursive: true });
});

describe('openTokenizer', () => {
  it("gives CLIP's vocabulary for a model directory without files of a tokenizer", async () => {
    const config = modelConfig('ViT-Pico-8-64', {
      vision: { layers: 1 },
      text: { vocabSize: 49408, width: 16, heads: 1, layers: 1 },
    });
    const directory = join(folder, 'model');
    const model = createModel(config, { generator: new Generator({ seed: 0 }) });
    await saveModel(directory, { config, model, preprocess: preprocessOf(config) });
    model.dispose();
    assert.ok(!readdirSync(directory).includes('tokenizer.json'));
    const tokenizer = await openTokenizer(directory);
    // As OpenAI's tokenizer has them.
    const ids = [49406, 320, 1125, 539, 320, 2368, 49407];
    assert.deepEqual(tokenizer.encode('a photo of a cat'), ids);
  });

  it('names what is missing of a folder without a tokenizer and a model', async () => {
    await assert.rejects(openTokenizer(folder), /There is no .*tokenizer\.json; name a tokenizer/);
  });
});
