import assert from 'node:assert/strict';
import { cpSync, existsSync, renameSync, rmSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../base/errors.js';
import { modelConfig } from '../models/index.js';
import type { TrainEvent } from './events.js';
import { readRunConfig } from './run-directory.js';
import { strategyOf, TinyRuns, tiny } from './tiny-run.test.helper.js';
import type { StrategyConfig } from './strategies/index.js';
import { resumeTraining, type TrainOptions } from './train.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('trained', { budget: '8samples' });
  const damaged = (name: string, file: string): void => {
    cpSync(runs.path('trained', 'model'), runs.path(name), { recursive: true });
    rmSync(runs.path(name, file));
  };
  damaged('no weights', 'open_clip_model.safetensors');
  damaged('no tokenizer', 'tokenizer.json');
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
    /^A tower of the type "(mixer|swin)" takes images of its own size only, 64 pixels, not 32; take a tower of another type\.$/,
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
    /^The weights in .*model cannot start this run\. The weights belong to another model than .* \[16, 24\]/,
  ],
  [
    'an image tower of another model',
    () => ({
      strategy: 'lit',
      initImage: runs.path('trained', 'model'),
      model: modelConfig('ResNet-Nano-64', { embedDim: 16, text }),
    }),
    /^The weights in .*model cannot start this run\. The weights belong to another image tower than /,
  ],
  [
    'distillation without a teacher',
    () => ({ strategy: 'distill' }),
    /^The strategy 'distill' learns from a teacher; name its model directory with --teacher, or a reinforced set with --reinforced, or set the weights feature, relation, interactive to 0\.$/,
  ],
  [
    'a teacher that is not there',
    () => ({ strategy: taughtBy('nowhere') }),
    /^The strategy 'distill' cannot use the model in .*nowhere\. There is no folder .*nowhere; name a model directory/,
  ],
  [
    'a teacher without weights',
    () => ({ strategy: taughtBy('no weights', { type: 'siclip' }) }),
    /^The strategy 'siclip' cannot use the model in .*no weights\. .*no weights has no open_clip_model\.safetensors; name a complete model directory\.$/,
  ],
  [
    'a teacher that cannot read',
    () => ({ strategy: taughtBy('no tokenizer') }),
    /^The model in .*no tokenizer cannot be a teacher, which reads captions by itself\. .*no tokenizer has no tokenizer\.json/,
  ],
  [
    'stages that are not the whole training',
    () => ({
      strategy: taughtBy('trained/model', { stages: [{ share: 0.5 }, { share: 0.4, feature: 0 }] }),
    }),
    /^The shares of the "stages" of strategy 'distill' add up to 0\.9; they must add up to 1\.$/,
  ],
  [
    'a stage without a loss',
    () => ({
      strategy: taughtBy('trained/model', {
        stages: [
          { share: 0.5 },
          { share: 0.5, contrastive: 0, feature: 0, relation: 0, interactive: 0 },
        ],
      }),
    }),
    /^In stage 2 of strategy 'distill' every loss has the weight 0; give one of contrastive, .* a weight\.$/,
  ],
  [
    'a setting that stages do not have',
    () => ({
      strategy: 'siclip',
      settings: { 'strategy.stages': '[{"share": 0.5}, {"shares": 0.5}]' },
    }),
    /^item 2 of "stages" of strategy 'siclip' has no setting "shares" \(did you mean "share"\?\)\.$/,
  ],
  [
    'negatives that there are not',
    () => ({ strategy: 'siclip', settings: { 'strategy.negatives': 'softest' } }),
    /^"negatives" of strategy 'siclip' is "softest"; it must be "hardest" or "assignment"\.$/,
  ],
];

/** A strategy with a teacher from this folder of the runs. */
function taughtBy(
  teacher: string,
  settings: Readonly<Record<string, unknown>> = {},
): StrategyConfig {
  return strategyOf({ type: 'distill', teachers: [runs.path(teacher)], ...settings });
}

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

describe('a run whose teacher is gone, or another', () => {
  it('says so when it is resumed, and goes on when the teacher is back', async () => {
    const [teacher, elsewhere] = [runs.path('teacher'), runs.path('elsewhere')];
    cpSync(runs.path('trained', 'model'), teacher, { recursive: true });
    const controller = new AbortController();
    const { run } = await runs.train('orphan', {
      strategy: taughtBy('teacher'),
      budget: '24samples',
      signal: controller.signal,
      onEvent: ({ kind }) => {
        if (kind === 'step') controller.abort();
      },
    });
    renameSync(teacher, elsewhere);
    await assert.rejects(resumeTraining(run), (error) => {
      assert.ok(error instanceof BantamError, String(error));
      assert.match(
        error.message,
        /^The strategy 'distill' cannot use the model in .*teacher\. There/,
      );
      return true;
    });
    await runs.train('other', { budget: '8samples', seed: 3 });
    cpSync(runs.path('other', 'model'), teacher, { recursive: true });
    await assert.rejects(
      resumeTraining(run),
      /^BantamError: What is in .*teacher is not the teacher that this run began with; put that one back/,
    );
    rmSync(teacher, { recursive: true });
    renameSync(elsewhere, teacher);
    const { steps } = await resumeTraining(run);
    assert.equal(steps, 3);
  });
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
