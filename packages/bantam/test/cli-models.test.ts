import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Generator } from '@bantam/torch';
import {
  createModel,
  loadModel,
  preprocessFor,
  saveModel,
  withChanges,
  modelConfig,
  type ModelConfig,
} from '../dist/models/index.js';
import { loadTokenizer } from '../dist/text/index.js';
import { bantam, bantamJson, expectFailure } from './bantam.js';

async function saveSmallModel(directory: string): Promise<void> {
  const trained = fileURLToPath(new URL('../fixtures/text/trained', import.meta.url));
  const tokenizer = await loadTokenizer(trained, { contextLength: 16 });
  const { vocabSize, contextLength } = tokenizer;
  const config = withChanges(modelConfig('ViT-Pico-8-64'), {
    vision: { layers: 2 },
    text: { layers: 1, vocabSize, contextLength },
  });
  using model = createModel(config, { generator: new Generator({ seed: 0 }) });
  await saveModel(directory, { config, model, tokenizer, preprocess: preprocessFor(64) });
}

describe('bantam models', () => {
  it('lists presets by a part of their names', async () => {
    const { status, stdout } = await bantam(['models', 'list', 'nano']);
    assert.equal(status, 0);
    assert.match(stdout, /^ViT-Nano-16-64 +192 +5\.0 +2\.6 +0\.169 +0\.0575 /m);
    assert.doesNotMatch(stdout, /ViT-B-32/);
    assert.match(stdout, /captions of 16 tokens/);
  });

  it('gives exact numbers as JSON', async () => {
    const [model] = (await bantamJson(['models', 'ViT-B-32-256', '--tokens', '77'])) as [
      { name: string; parameters: { total: number }; flops: { image: number; text: number } },
    ];
    assert.equal(model.name, 'ViT-B-32-256');
    assert.equal(model.parameters.total, 151_288_833);
    assert.ok(model.flops.text > 5.9e9);
  });

  it('measures presets on demand', async () => {
    const [model] = (await bantamJson(['models', 'ViT-Pico', '--measure', '--batch', '4'])) as [
      { rate: { batchSize: number; train: number; images: number; captions: number } },
    ];
    const { batchSize, train, images, captions } = model.rate;
    assert.equal(batchSize, 4);
    // No order between them: another program may take the time of any.
    for (const rate of [train, images, captions]) assert.ok(rate > 0 && Number.isFinite(rate));
  });

  it('shows and measures a model directory as it does its preset', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-'));
    try {
      const directory = join(folder, 'model');
      await saveSmallModel(directory);
      const shown = (await bantamJson([
        'models',
        'show',
        directory,
        '--measure',
        '--batch',
        '4',
      ])) as {
        config: ModelConfig;
        parameters: { total: number };
        rate: { batchSize: number; images: number };
      };
      const { config, model } = await loadModel(directory);
      using own = model;
      assert.deepEqual(shown.config, config);
      assert.equal(
        shown.parameters.total,
        own.parameters().reduce((sum, { size }) => sum + size, 0),
      );
      assert.equal(shown.rate.batchSize, 4);
      assert.ok(shown.rate.images > 0);
      const empty = join(folder, 'empty');
      mkdirSync(empty);
      await expectFailure(['models', 'show', empty], {
        status: 1,
        message: /has no open_clip_config\.json/,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('shows a configuration and the structure that it makes', async () => {
    const { status, stdout } = await bantam(['models', 'show', 'ViT-B-32']);
    assert.equal(status, 0);
    assert.match(stdout, /^ViT-B-32: ViT 768 × 12, patch 32, 224 px; text 512 × 12, 151\.3M/);
    assert.match(stdout, /"patchSize": 32/);
    assert.match(stdout, /resblocks\.0 … 11 \(12 ×\): ResidualBlock, 7\.09M/);
  });

  it('upcycles a dense model, once', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-'));
    try {
      const [dense, out] = [join(folder, 'dense'), join(folder, 'sparse')];
      await saveSmallModel(dense);
      const args = ['models', 'upcycle', dense, '--out', out, '--towers', 'image'];
      const { config } = (await bantamJson([...args, '--experts', '4'])) as {
        config: { vision: { moe: { experts: number } }; text: { moe: unknown } };
      };
      assert.deepEqual([config.vision.moe.experts, config.text.moe], [4, null]);
      const { config: loaded, tokenizer } = await loadModel(out);
      assert.deepEqual(loaded.vision, config.vision);
      assert.equal(tokenizer.vocabSize, loaded.text.vocabSize);
      await expectFailure(['models', 'upcycle', out, '--out', join(folder, 'again')], {
        status: 1,
        message: /"vision" has mixtures of experts already/,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('names what it does not know', async () => {
    await expectFailure(['models', 'list', 'resnot'], {
      status: 2,
      message: /No preset has "resnot"/,
    });
    await expectFailure(['models', 'show', 'ViT-B32'], {
      status: 1,
      message: /did you mean "ViT-B-32"/,
    });
  });
});
