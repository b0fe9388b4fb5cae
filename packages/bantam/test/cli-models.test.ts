import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bantam, bantamJson, expectFailure } from './bantam.js';

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

  it('shows a configuration and the structure that it makes', async () => {
    const { status, stdout } = await bantam(['models', 'show', 'ViT-B-32']);
    assert.equal(status, 0);
    assert.match(stdout, /^ViT-B-32: ViT 768 × 12, patch 32, 224 px; text 512 × 12, 151\.3M/);
    assert.match(stdout, /"patchSize": 32/);
    assert.match(stdout, /resblocks\.0 … 11 \(12 ×\): ResidualBlock, 7\.09M/);
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
