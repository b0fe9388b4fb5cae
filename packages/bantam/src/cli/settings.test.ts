import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UsageError } from '../base/errors.js';
import { modelConfig } from '../models/index.js';
import type { NamedValues } from './named-settings.js';
import { changeModel, runSettings } from './settings.js';

const preset = () => Promise.resolve(modelConfig('ViT-S-32'));
const settings = (values: NamedValues) => runSettings(values, preset);

describe('runSettings', () => {
  const accepted: readonly (readonly [string, NamedValues, object])[] = [
    [
      'numbers, names, booleans and lists by the kind of the setting',
      {
        'train.lr': '3e-4',
        'train.warmup': '.2',
        'train.optimizer': 'lion',
        'train.gradCheckpointing': 'true',
        'train.freeze': '["visual"]',
        'tokenizer.path': '2024',
      },
      {
        train: { lr: 3e-4, warmup: 0.2, optimizer: 'lion', gradCheckpointing: true, freeze: ['visual'] }, // prettier-ignore
        tokenizer: { path: '2024' },
      },
    ],
    [
      'the settings of the strategy that is named, in any order',
      { 'strategy.maskRatio': '0.5', 'strategy.type': 'flip' },
      { strategy: { type: 'flip', maskRatio: 0.5 } },
    ],
    ['a strategy by its name alone', { strategy: 'siglip' }, { strategy: 'siglip' }],
    [
      'the loss of the default strategy',
      { 'strategy.loss.type': 'sigmoid', 'strategy.loss.chunk': '64' },
      { strategy: { type: 'clip', loss: { type: 'sigmoid', chunk: 64 } } },
    ],
    [
      'a loss by its name alone, with a setting of it',
      { 'strategy.loss': 'sigmoid', 'strategy.loss.chunk': '64' },
      { strategy: { type: 'clip', loss: { type: 'sigmoid', chunk: 64 } } },
    ],
    [
      "settings of the strategy's default loss without its name",
      { 'strategy.type': 'fastclip', 'strategy.loss.temperature': '0.05' },
      { strategy: { type: 'fastclip', loss: { type: 'global', temperature: 0.05 } } },
    ],
    [
      'stages as JSON',
      { 'strategy.type': 'siclip', 'strategy.stages': '[{"fraction": 1, "feature": null}]' },
      { strategy: { type: 'siclip', stages: [{ fraction: 1, feature: null }] } },
    ],
    ['an augmentation by name', { augment: 'simclr' }, { augment: 'simclr' }],
    ['an augmentation as JSON', { augment: '[{"op":"flip"}]' }, { augment: [{ op: 'flip' }] }],
    [
      'preprocessing and initial weights',
      { 'preprocess.mean': '[0,0,0]', 'init.image': 'runs/first/model' },
      { preprocess: { mean: [0, 0, 0] }, init: { image: 'runs/first/model' } },
    ],
    ['a refused value, for the library to name', { 'train.lr': 'fast' }, { train: { lr: 'fast' } }],
  ];
  for (const [title, values, expected] of accepted) {
    it(`takes ${title}`, async () => {
      assert.deepEqual(await settings(values), expected);
    });
  }

  it('changes the model that is trained, and reads it only then', async () => {
    const { model } = await settings({ 'model.vision.layers': '2' });
    assert.deepEqual(model, modelConfig('ViT-S-32', { vision: { layers: 2 } }));
    const unread = () => assert.fail('There is no setting of the model.');
    assert.deepEqual(await runSettings({ 'train.ema': '0.9' }, unread), { train: { ema: 0.9 } });
  });

  const unknown: readonly (readonly [NamedValues, RegExp])[] = [
    [{ 'train.lrr': '1' }, /^There is no setting 'train\.lrr' \(did you mean "train\.lr"\?\)\.$/],
    [{ 'train.batchsize': '8' }, /did you mean "train\.batchSize"/],
    [{ lr: '1' }, /^There is no setting 'lr'/],
    [{ train: '1' }, /^There is no setting 'train'/],
    [{ 'train.lr.more': '1' }, /^There is no setting 'train\.lr\.more' \(did you mean "train\.lr"/],
    [{ 'strategy.maskRatio': '0.5' }, /^There is no setting 'strategy\.maskRatio'/],
    [
      { 'strategy.type': 'flip', 'strategy.maskRation': '0.5' },
      /did you mean "strategy\.maskRatio"/,
    ],
    [
      { 'strategy.loss.type': 'sigmoid', 'strategy.loss.chunks': '1' },
      /did you mean "strategy\.loss\.chunk"/,
    ],
    [{ 'strategy.loss.rho': '1' }, /^There is no setting 'strategy\.loss\.rho'/],
    [{ 'model.vision.wide': '8' }, /did you mean "model\.vision\.width"/],
    [{ 'constructor.name': 'x' }, /^There is no setting 'constructor\.name'/],
    [{ data: 'emoji' }, /^There is no setting 'data'/],
  ];
  for (const [values, message] of unknown) {
    it(`refuses ${Object.keys(values).join(' and ')}, which is no setting`, async () => {
      await assert.rejects(settings(values), (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

describe('changeModel', () => {
  it('reads a value as the kind that the configuration has, and JSON for others', () => {
    const config = modelConfig('ViT-S-32');
    const changed = changeModel(config, {
      'model.embedDim': '96',
      'model.initLogitBias': '-10',
      'model.vision.poolType': 'avg',
    });
    assert.equal(changed.embedDim, 96);
    assert.equal(changed.initLogitBias, -10);
    assert.ok(changed.vision.type === 'vit');
    assert.equal(changed.vision.poolType, 'avg');
    assert.equal(config.embedDim, 384);
  });

  it('names the nearest setting of an unknown one', () => {
    assert.throws(
      () => changeModel(modelConfig('ViT-S-32'), { 'model.text.widht': '8' }),
      /'model\.text\.widht' \(did you mean "model\.text\.width"/,
    );
  });
});
