import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../errors.js';
import { modelConfig } from '../models/index.js';
import type { TrainEvent } from './events.js';
import { readRunConfig } from './run-directory.js';
import { strategyOf, TinyRuns, tiny } from './tiny-run.test.helper.js';
import type { TrainOptions } from './train.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('trained', { budget: '8samples' });
});
after(() => {
  runs.remove();
});

const { text } = tiny;

/** Options that hold together on their own, and the sentence that refuses them together. */
const refusals: readonly [string, () => Partial<TrainOptions>, RegExp][] = [
  [
    'flip on a ResNet',
    () => ({ strategy: 'flip', model: 'ResNet-Nano-64' }),
    /^The strategy 'flip' needs an image tower that can leave patches out, such as "vit", but this model has "resnet"; choose another model or strategy\.$/,
  ],
  [
    'clipa with masks on a ResNet',
    () => ({
      strategy: strategyOf({ type: 'clipa', maskRatio: 0.5 }),
      model: 'ResNet-Nano-64',
    }),
    /^The strategy 'clipa' with "maskRatio" above 0 needs an image tower that can leave patches out/,
  ],
  ...['Mixer', 'Swin'].map((name): [string, () => Partial<TrainOptions>, RegExp] => [
    `clipa on a ${name}`,
    () => ({ strategy: 'clipa', model: `${name}-Nano-64` }),
    /^A tower of the type "(mixer|swin)" takes pictures of the size that it was made for only, 64 pixels, not 32; take a tower of another type\.$/,
  ]),
  [
    'clipa on pictures that hold no whole patches',
    () => ({ strategy: strategyOf({ type: 'clipa', imageSize: 7 }) }),
    /^"imageSize" of "vision" \(7\) must be a multiple of "patchSize" \(4\)/,
  ],
  [
    'lit without a trained tower',
    () => ({ strategy: 'lit' }),
    /^The strategy 'lit' locks an image tower that is trained already; name .* --init-image, or --init for both towers\.$/,
  ],
  [
    'coca on a model without a decoder',
    () => ({ strategy: 'coca' }),
    /^The strategy 'coca' needs a model with a decoder, which writes captions; take a preset that has one, such as "coca_ViT-Nano-16-64"\.$/,
  ],
  [
    'an unknown strategy',
    () => ({ strategy: 'flipp' }),
    /^There is no strategy 'flipp' \(did you mean "flip"\?\); choose one of: clip, .*coca\.$/,
  ],
  [
    'an unknown setting of a strategy',
    () => ({ strategy: 'flip', settings: { 'strategy.maskRation': '0.5' } }),
    /^There is no setting 'strategy\.maskRation' \(did you mean "strategy\.maskRatio"\?\)\.$/,
  ],
  [
    "another strategy's setting",
    () => ({ strategy: 'clip', settings: { 'strategy.maskRatio': '0.5' } }),
    /^There is no setting 'strategy\.maskRatio'/,
  ],
  [
    'a share of all patches',
    () => ({ strategy: 'flip', settings: { 'strategy.maskRatio': '1' } }),
    /^"maskRatio" of strategy 'flip' is 1; it must be a number from 0 up to, but not, 1\.$/,
  ],
  [
    'a loss that there is not',
    () => ({ settings: { 'strategy.loss': 'hinge' } }),
    /^"loss" of strategy 'clip' is "hinge"; it must be "softmax" or "sigmoid" or "global"\.$/,
  ],
  [
    'pieces that do not divide the batch',
    () => ({ settings: { 'train.microBatch': '3' } }),
    /^The setting 'train\.microBatch' \(3\) must divide 'train\.batchSize' \(8\)\.$/,
  ],
  [
    'duplicates under the global loss',
    () => ({ strategy: strategyOf({ type: 'fastclip', duplicates: 'positives' }) }),
    /^The loss "global" of the strategy has neither "duplicates" as positives nor "lossChunk"; leave them out/,
  ],
  [
    'a model directory that is not there',
    () => ({ init: runs.path('nowhere') }),
    /^There is no folder .*nowhere; name a model directory/,
  ],
  [
    'weights of another model',
    () => ({
      init: runs.path('trained', 'model'),
      model: modelConfig('ViT-Pico-8-64', { embedDim: 24, vision: { ...tiny.vision }, text }),
    }),
    /^The weights in .*model cannot start this run\. The weights are of another model than .* \[16, 24\]/,
  ],
  [
    'an image tower of another model',
    () => ({
      strategy: 'lit',
      initImage: runs.path('trained', 'model'),
      model: modelConfig('ResNet-Nano-64', { embedDim: 16, text }),
    }),
    /^The weights in .*model cannot start this run\. The weights are of another image tower than /,
  ],
];

describe('a training that cannot be', () => {
  for (const [name, options, message] of refusals) {
    it(`is refused in one sentence, and leaves no run behind: ${name}`, async () => {
      await assert.rejects(runs.train('refused', options()), (error) => {
        assert.ok(error instanceof BantamError, String(error));
        assert.match(error.message, message);
        assert.equal(error.message.includes('\n'), false);
        return true;
      });
      assert.equal(existsSync(runs.path('refused')), false);
    });
  }
});

describe('a training that is fitted', () => {
  it('takes a bias for the sigmoid loss', async () => {
    const { run } = await runs.train('sigmoid', {
      strategy: strategyOf({ type: 'clip', loss: 'sigmoid' }),
      budget: '8samples',
    });
    const { model } = readRunConfig(run);
    assert.equal(model.initLogitBias, -10);
    assert.ok(Math.abs(model.initLogitScale - Math.log(10)) < 1e-12);
  });

  it('makes one batch of a set that is smaller, in pieces where they fit', async () => {
    for (const [batchSize, microBatch, fitted] of [
      [32, 8, { batchSize: 16, microBatch: 8 }],
      [64, 32, { batchSize: 20, microBatch: 0 }],
    ] as const) {
      const notes: string[] = [];
      const { run } = await runs.train(`small ${microBatch}`, {
        budget: '40samples',
        settings: { 'train.batchSize': `${batchSize}`, 'train.microBatch': `${microBatch}` },
        onEvent: (event: TrainEvent) => event.kind === 'note' && notes.push(event.message),
      });
      const { train } = readRunConfig(run);
      assert.deepEqual({ batchSize: train.batchSize, microBatch: train.microBatch }, fitted);
      assert.match(notes.join(), new RegExp(`^The batch is ${fitted.batchSize} of the 20 samples`));
    }
  });
});
