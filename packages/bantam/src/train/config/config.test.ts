import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError, UsageError } from '../../base/errors.js';
import { augmentations, resolveAugment } from '../../data/index.js';
import { modelConfig } from '../../models/index.js';
import { configFormat, parseTrainConfig, type RunOptions } from './config.js';
import { resolveConfig } from './resolve.js';

const run = { model: 'ViT-S-32', data: 'folder:photos', budget: '5m' } as const;

describe('resolveConfig', () => {
  it('fills in defaults of every group', () => {
    const { train, tokenizer, validation, strategy, init, seed } = resolveConfig(run);
    assert.deepEqual(
      [train.batchSize, train.lr, train.optimizer, train.freeze],
      [256, 1e-3, 'adamw', []],
    );
    assert.deepEqual(tokenizer, {
      path: '',
      wrapper: 'auto',
      vocabSize: 4096,
      contextLength: 32,
    });
    assert.deepEqual([validation.data, validation.every, seed], ['', 0.1, 0]);
    const loss = { type: 'softmax', duplicates: 'negatives', chunk: 0 };
    assert.deepEqual(strategy, { type: 'clip', loss });
    assert.deepEqual(init, { model: '', image: '', freezeInherited: false });
  });

  it('takes a strategy and a loss by name or with settings', () => {
    const strategyOf = (strategy: RunOptions['strategy']) =>
      resolveConfig({ ...run, strategy }).strategy;
    assert.deepEqual(strategyOf('siglip'), strategyOf({ type: 'siglip', loss: 'sigmoid' }));
    assert.deepEqual(strategyOf({ type: 'clip', loss: { type: 'sigmoid', chunk: 8 } }).loss, {
      type: 'sigmoid',
      duplicates: 'negatives',
      chunk: 8,
    });
    const { loss } = strategyOf('fastclip');
    assert.ok(loss.type === 'global' && loss.version === 'v3');
    assert.equal(loss.rho, 6.5);
  });

  it('takes an augmentation by name, and the augmentation of a strategy', () => {
    const named = resolveConfig({ ...run, augment: 'simclr' });
    assert.deepEqual(named.augment, augmentations.simclr);
    const strong = resolveConfig({
      ...run,
      strategy: { type: 'clip-da', augmentation: 'crop-flip' },
    });
    assert.deepEqual(strong.augment, augmentations['crop-flip']);
  });

  it('changes the preprocessing of the model, but not its size', () => {
    const { preprocess } = resolveConfig({ ...run, preprocess: { mean: [0, 0, 0] } });
    assert.deepEqual(preprocess.mean, [0, 0, 0]);
    assert.deepEqual([preprocess.size, preprocess.resizeMode], [224, 'shortest']);
  });

  it('gives the model of the sigmoid loss a logit bias', () => {
    assert.equal(resolveConfig({ ...run, strategy: 'siglip' }).model.initLogitBias, -10);
  });

  it('freezes the configuration, nested members included, and not its input', () => {
    const freeze = ['visual'];
    const { train, strategy, model } = resolveConfig({ ...run, train: { freeze } });
    assert.throws(() => ((train as { lr: number }).lr = 1), TypeError);
    assert.throws(() => (train.freeze as string[]).push('text'), TypeError);
    assert.ok(Object.isFrozen(strategy.loss) && Object.isFrozen(model.vision));
    freeze.push('text');
    assert.deepEqual(train.freeze, ['visual']);
  });

  for (const [name, train] of Object.entries({
    'a batch of nothing': { batchSize: 0 },
    'a fraction of a sample': { batchSize: 2.5 },
    'a warm-up of two budgets': { warmup: 2 },
    'a decay of nothing': { layerDecay: 0 },
    'a learning rate that is NaN': { lr: NaN },
    'a negative time limit': { timeLimit: -1 },
  })) {
    it(`refuses ${name}`, () => {
      assert.throws(() => resolveConfig({ ...run, train }), UsageError);
    });
  }

  it('refuses int8 for training with a sentence about inference', () => {
    assert.throws(
      // @ts-expect-error: int8 is no precision of training.
      () => resolveConfig({ ...run, train: { precision: 'int8' } }),
      /'train\.precision' is "int8"; it must be .* \(int8 is for inference: bantam eval and bantam embed\)\.$/,
    );
  });
});

describe('parseTrainConfig', () => {
  const config = {
    ...resolveConfig({ ...run, model: modelConfig('ViT-S-32') }),
    augment: resolveAugment(augmentations.photo),
  };
  const parse = (value: unknown) => parseTrainConfig(JSON.stringify(value), 'config.json');

  it('reads a saved configuration, frozen', () => {
    assert.deepEqual(parse(config), config);
    assert.ok(Object.isFrozen(parse(config).train));
  });

  it('fills in settings that it lacks', () => {
    const { accumulate, ema, ...train } = config.train;
    assert.deepEqual([accumulate, ema], [1, 0]);
    assert.deepEqual(parse({ ...config, train, init: { model: 'runs/first/model' } }), {
      ...config,
      init: { ...config.init, model: 'runs/first/model' },
    });
  });

  it('refuses other files', () => {
    for (const text of ['', '[]', 'null', '{}', '{"model":{},"strategy":{},"train":1}']) {
      assert.throws(() => parseTrainConfig(text, 'config.json'), /config\.json is not the conf/);
    }
  });

  it('refuses an older and a newer format in one sentence', () => {
    const { formatVersion, ...unnumbered } = config;
    assert.equal(formatVersion, configFormat);
    assert.throws(() => parse(unnumbered), {
      name: 'BantamError',
      message:
        'config.json was written by an older version of Bantam (format 0, this one reads 1); use that version, or start the run anew.',
    });
    assert.throws(
      () => parse({ ...config, formatVersion: configFormat + 1 }),
      /^BantamError: config\.json was written by a newer version of Bantam \(format 2/,
    );
  });

  it('refuses unknown settings, and names the file', () => {
    const strategy = { type: 'clip', depth: 3 };
    assert.throws(
      () => parse({ ...config, strategy }),
      (error) =>
        error instanceof BantamError &&
        error.message.startsWith(
          "The configuration in config.json cannot be used. There is no setting 'strategy.depth'",
        ),
    );
  });
});
