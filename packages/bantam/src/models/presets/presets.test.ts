import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { parameterCount } from '../cost/flops.js';
import { fromOpenClip } from '../io/formats/open-clip-config.js';
import { pretrainedModels } from '../hub/pretrained.js';
import { modelConfig, presets } from './presets.js';

interface PresetFixture {
  parameters: { total: number; image: number; text: number };
  model_cfg: unknown;
}

const openClip = JSON.parse(
  readFileSync(new URL('../../../fixtures/models/presets.json', import.meta.url), 'utf8'),
) as Record<string, PresetFixture>;

describe('modelConfig', () => {
  for (const [name, { parameters, model_cfg }] of Object.entries(openClip)) {
    it(`${name} is OpenCLIP's, with as many parameters`, () => {
      assert.deepEqual(modelConfig(name), fromOpenClip(model_cfg));
      const { total, image, text } = parameters;
      assert.deepEqual(parameterCount(modelConfig(name)), { total, image, text });
    });
  }

  it("has every model of OpenCLIP's published weights, but those with NLLB's text tower", () => {
    const absent = pretrainedModels().filter(({ model }) => !presets.has(model));
    assert.equal(pretrainedModels().length - absent.length, 190);
    const others = absent.filter(({ model }) => !model.startsWith('nllb-clip'));
    assert.deepEqual(others, []);
  });

  it('has sizes Ti, S, B, L with patches of 32, 16, 14 pixels', () => {
    for (const size of ['Ti', 'S', 'B', 'L']) {
      for (const patch of [32, 16, 14]) {
        const { vision } = modelConfig(`ViT-${size}-${patch}`);
        assert.ok(vision.type === 'vit' && vision.patchSize === patch);
      }
    }
  });

  it('has small models for 64 pixels', () => {
    const small = [...presets].filter(([name]) => /^ViT-.*-64$/.test(name));
    const millions = small.map(([, config]) => Math.round(parameterCount(config).total / 1e5) / 10);
    assert.deepEqual(millions, [2, 5.4, 12.3, 7.6]);
  });

  it('fits a preset to a tokenizer', () => {
    const { text } = modelConfig('ViT-Ti-16', { text: { vocabSize: 700, contextLength: 20 } });
    assert.deepEqual([text.vocabSize, text.contextLength, text.width], [700, 20, 192]);
  });

  it('names the nearest preset', () => {
    assert.throws(
      () => modelConfig('vit-b32'),
      (error) =>
        error instanceof BantamError &&
        error.message ===
          'There is no model preset "vit-b32" (did you mean "ViT-B-32"?); "bantam models" lists them.',
    );
  });
});
