import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { augmentations, photoAugment } from '../data/index.js';
import { UsageError } from '../errors.js';
import { modelConfig, preprocessFor } from '../models/index.js';
import {
  applySettings,
  defaultTokenizerSettings,
  defaultTrainSettings,
  freshWeights,
  type TrainConfig,
} from './config.js';
import { parseStrategy } from './strategies/index.js';

const config: TrainConfig = {
  model: modelConfig('ViT-S-32'),
  init: freshWeights,
  strategy: parseStrategy('clip'),
  data: 'folder:photos',
  budget: '5m',
  seed: 0,
  train: { ...defaultTrainSettings },
  tokenizer: { ...defaultTokenizerSettings },
  preprocess: preprocessFor(224),
  augment: photoAugment,
};

describe('applySettings', () => {
  it('sets numbers, names and lists, and leaves the given configuration as it was', () => {
    const changed = applySettings(config, {
      'train.lr': '3e-4',
      'train.precision': 'fp32',
      'train.optimizer': 'lion',
      'train.freeze': '["visual"]',
      'model.vision.layers': '2',
      augment: '[{"op":"flip"}]',
    });
    assert.equal(changed.train.lr, 3e-4);
    assert.equal(changed.train.precision, 'fp32');
    assert.equal(changed.train.optimizer, 'lion');
    assert.deepEqual(changed.train.freeze, ['visual']);
    assert.ok(changed.model.vision.type === 'vit');
    assert.equal(changed.model.vision.layers, 2);
    assert.deepEqual(changed.augment, [{ op: 'flip' }]);
    assert.equal(config.train.lr, 1e-3);
    assert.deepEqual(config.augment, photoAugment);
    const named = applySettings(config, { augment: 'simclr' });
    assert.deepEqual(named.augment, augmentations.simclr);
  });

  it('names the nearest setting for an unknown one', () => {
    assert.throws(
      () => applySettings(config, { 'train.batchsize': '8' }),
      (error) => error instanceof UsageError && error.message.includes('train.batchSize'),
    );
    assert.throws(() => applySettings(config, { lr: '1' }), UsageError);
  });

  it('refuses values of the wrong kind or out of range', () => {
    for (const settings of [
      { 'train.lr': 'fast' },
      { 'train.batchSize': '0' },
      { 'train.batchSize': '2.5' },
      { 'train.warmup': '2' },
      { 'train.schedule': 'cosin' },
      { 'train.optimizer': 'adam' },
      { 'train.layerDecay': '0' },
      { 'train.freeze': '"visual"' },
      { 'train.freeze': '[1]' },
      { augment: 'flip' },
    ]) {
      assert.throws(() => applySettings(config, settings), UsageError, JSON.stringify(settings));
    }
  });
});
