import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { augmentations, photoAugment } from '../../data/index.js';
import { BantamError, UsageError } from '../../base/errors.js';
import { modelConfig, preprocessFor } from '../../models/index.js';
import {
  applySettings,
  defaultTokenizerSettings,
  defaultTrainSettings,
  freshWeights,
  parseTrainConfig,
  type TrainConfig,
} from './config.js';
import { defaultValidationSettings } from '../monitor/validation-settings.js';
import { parseStrategy } from '../strategies/index.js';

const config: TrainConfig = {
  model: modelConfig('ViT-S-32'),
  init: freshWeights,
  strategy: parseStrategy('clip'),
  data: 'folder:photos',
  budget: '5m',
  seed: 0,
  train: { ...defaultTrainSettings },
  tokenizer: { ...defaultTokenizerSettings },
  validation: { ...defaultValidationSettings },
  preprocess: preprocessFor(224),
  augment: photoAugment,
};

describe('applySettings', () => {
  it('sets numbers, names and lists, and leaves the given configuration as it was', () => {
    const changed = applySettings(config, {
      lr: 3e-4,
      precision: 'fp32',
      optimizer: 'lion',
      freeze: ['visual'],
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
      () => applySettings(config, { batchsize: 8 }),
      (error) => error instanceof UsageError && error.message.includes('train.batchSize'),
    );
    assert.throws(() => applySettings(config, { lr: '1' }), UsageError);
  });

  it('says where first weights are named', () => {
    assert.throws(
      () => applySettings(config, { 'init.image': 'runs/first/model' }),
      (error) => error instanceof UsageError && error.message.includes('--init-image'),
    );
  });

  it('refuses values of the wrong kind or out of range', () => {
    for (const settings of [
      { lr: 'fast' },
      { batchSize: 0 },
      { batchSize: 2.5 },
      { warmup: 2 },
      { schedule: 'cosin' },
      { optimizer: 'adam' },
      { layerDecay: 0 },
      { freeze: '"visual"' },
      { freeze: [1] },
      { augment: 'flip' },
      { 'init.model': 'runs/first/model' },
    ]) {
      assert.throws(() => applySettings(config, settings), UsageError, JSON.stringify(settings));
    }
  });
});

describe('parseTrainConfig', () => {
  it('reads what was saved', () => {
    assert.deepEqual(parseTrainConfig(JSON.stringify(config), 'config.json'), config);
  });

  it('fills in settings that did not exist when it was saved', () => {
    const { accumulate, ema, ...train } = { ...config.train, lr: 2e-3 };
    const { path, ...tokenizer } = config.tokenizer;
    const { init, ...rest } = config;
    const older = { ...rest, strategy: { type: 'clip' }, train, tokenizer };
    const filled = { ...config, train: { ...train, accumulate, ema }, tokenizer: { ...tokenizer, path }, init }; // prettier-ignore
    assert.deepEqual(parseTrainConfig(JSON.stringify(older), 'config.json'), filled);
    const half = { ...config, init: { model: 'runs/first/model' } };
    assert.deepEqual(parseTrainConfig(JSON.stringify(half), 'config.json').init, {
      model: 'runs/first/model',
      image: '',
    });
  });

  it('refuses what is no configuration, and settings that are not known', () => {
    for (const text of ['', '[]', 'null', '{}', '{"model":{},"strategy":{},"train":1}']) {
      assert.throws(() => parseTrainConfig(text, 'config.json'), /config\.json is not the conf/);
    }
    const later = { ...config, strategy: { type: 'clip', depth: 3 } };
    assert.throws(() => parseTrainConfig(JSON.stringify(later), 'config.json'), BantamError);
  });
});
