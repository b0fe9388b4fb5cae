import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Generator } from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { modelConfig, presets } from '../presets/presets.js';
import { headNames } from '../surgery/layer-decay.js';
import { addLora } from '../surgery/lora.js';
import { trainedCosts, wholeTower } from './trained-costs.js';

const create = (name: string) =>
  createModel(modelConfig(name), { generator: new Generator({ seed: 1 }) });

const learning = (model: Clip) =>
  new Set(model.parameters().filter(({ requiresGrad }) => requiresGrad));

const none = { activations: 0, weights: 0, changes: 0 };

describe('trainedCosts', () => {
  for (const name of [...presets.keys()].filter((one) => /-(Pico|Nano|Micro)-/.test(one))) {
    it(`are whole if all weights learn, and none of a frozen tower: ${name}`, () => {
      using model = create(name);
      const whole = trainedCosts(model, learning(model));
      assert.deepEqual([whole.image, whole.text], [wholeTower, wholeTower]);
      assert.deepEqual(whole.decoder, model.textDecoder === null ? none : wholeTower);
      model.freeze(['visual']);
      const frozen = trainedCosts(model, learning(model));
      assert.deepEqual([frozen.image, frozen.text], [none, wholeTower]);
    });

    it(`are small if the head alone learns: ${name}`, () => {
      using model = create(name);
      const named = model.namedParameters();
      const head = headNames(model).flatMap((one) => named.get(one) ?? []);
      const { image, text } = trainedCosts(model, new Set(head));
      for (const { activations, weights } of [image, text]) {
        // The attention that pools has many of a small ResNet's weights.
        assert.ok(activations === weights && weights < 0.65, `${weights}`);
      }
    });
  }

  it('count the two matrices of low-rank changes, and no gradients of frozen weights', () => {
    using model = create('ViT-Nano-16-64');
    const settings = {
      rank: 4,
      alpha: 4,
      rankStabilized: false,
      dropout: 0,
      targets: ['visual.*'],
    };
    const generator = new Generator({ seed: 2 });
    addLora(model, settings, { init: generator, dropout: generator });
    const { image, text } = trainedCosts(model, learning(model));
    assert.deepEqual(text, none);
    const { width: w, layers } = model.config.vision as { width: number; layers: number };
    // Attention: 3w·w and w·w; MLP: 4w·w twice.
    const perBlock = 4 * (4 * w + 2 * w + 5 * w + 5 * w);
    const products = 12 * w ** 2 * layers;
    const outside = 3 * 16 ** 2 * w + w * model.config.embedDim;
    assert.equal(image.weights, 0);
    assert.equal(image.changes, (layers * perBlock) / (products + outside));
    assert.equal(image.activations, 1 - (3 * 16 ** 2 * w) / (products + outside));
  });
});
