import assert from 'node:assert/strict';
import { cpSync, existsSync, renameSync, rmSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../base/errors.js';
import { modelConfig } from '../models/index.js';
import type { TrainEvent } from './monitor/events.js';
import { readRunConfig } from './run-dir/paths.js';
import { TinyRuns, tiny } from '../test-support/tiny-runs.js';
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

/** A teacher's strategy. */
const distill = (...teachers: string[]) =>
  ({ type: 'distill', teachers: teachers.map((name) => runs.path(name)) }) as const;

/** Settings that do not fit together or exist, and the sentence that refuses them. */
const refusals: readonly [string, () => Partial<TrainOptions>, RegExp][] = [
  [
    'flip on a ResNet',
    () => ({ strategy: 'flip', model: 'ResNet-Nano-64' }),
    /^The strategy 'flip' needs an image tower that can leave patches out, such as "vit", but this model has "resnet"; choose another model or strategy\.$/,
  ],
  [
    'clipa with masks on a ResNet',
    () => ({ strategy: { type: 'clipa', maskRatio: 0.5 }, model: 'ResNet-Nano-64' }),
    /^The strategy 'clipa' with "maskRatio" above 0 needs an image tower that can leave patches out/,
  ],
  ...['Mixer', 'Swin'].map((name): [string, () => Partial<TrainOptions>, RegExp] => [
    `clipa on a ${name}`,
    () => ({ strategy: 'clipa', model: `${name}-Nano-64` }),
    /^A tower of the type "(mixer|swin)" takes images of its own size only, 64 pixels, not 32; take a tower of another type\.$/,
  ]),
  [
    'clipa on images that hold no whole patches',
    () => ({ strategy: { type: 'clipa', imageSize: 7 } }),
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
    'a ratio of all patches',
    () => ({ strategy: { type: 'flip', maskRatio: 1 } }),
    /^The setting 'strategy\.maskRatio' is 1; it must be a number of at least 0 and below 1\.$/,
  ],
  [
    'patches that do not divide the image',
    () => ({ model: { ...tiny, vision: { ...tiny.vision, patchSize: 7 } as typeof tiny.vision } }),
    /"imageSize" of "vision" \(16\) must be a multiple of "patchSize" \(7\)/,
  ],
  [
    'a micro-batch that does not divide the batch',
    () => ({ train: { microBatch: 3 } }),
    /^The setting 'train\.microBatch' is 3; it must divide 'train\.batchSize', 8\.$/,
  ],
  [
    'a model directory that is not there',
    () => ({ init: { model: runs.path('nowhere') } }),
    /^There is no folder .*nowhere; name a model directory/,
  ],
  [
    'weights of another model',
    () => ({
      init: { model: runs.path('trained', 'model') },
      model: modelConfig('ViT-Pico-8-64', { embedDim: 24, vision: { ...tiny.vision }, text }),
    }),
    /^The weights in .*model cannot start this run\. The weights belong to another model than .* \[16, 24\]/,
  ],
  [
    'an image tower of another model',
    () => ({
      strategy: 'lit',
      init: { image: runs.path('trained', 'model') },
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
    () => ({ strategy: distill('nowhere') }),
    /^The strategy 'distill' cannot use the model in .*nowhere\. There is no folder .*nowhere; name a model directory/,
  ],
  [
    'a teacher without weights',
    () => ({ strategy: { ...distill('no weights'), type: 'siclip' } }),
    /^The strategy 'siclip' cannot use the model in .*no weights\. .*no weights has no open_clip_model\.safetensors; name a complete model directory\.$/,
  ],
  [
    'a teacher without a tokenizer',
    () => ({ strategy: distill('no tokenizer') }),
    /^The model in .*no tokenizer cannot be a teacher, which tokenizes captions itself\. .*no tokenizer has neither tokenizer\.json/,
  ],
  [
    'stages that are not the whole training',
    () => ({
      strategy: {
        ...distill('trained/model'),
        stages: [{ fraction: 0.5 }, { fraction: 0.4, feature: 0 }],
      },
    }),
    /^The fractions of the "stages" of strategy 'distill' add up to 0\.9; they must add up to 1\.$/,
  ],
  [
    'a stage without a loss',
    () => ({
      strategy: {
        ...distill('trained/model'),
        stages: [
          { fraction: 0.5 },
          { fraction: 0.5, contrastive: 0, feature: 0, relation: 0, interactive: 0 },
        ],
      },
    }),
    /^In stage 2 of strategy 'distill' every loss has the weight 0; give one of contrastive, .* a weight\.$/,
  ],
];

/** Settings that the compiler refuses as well (train.types.test.ts), as JavaScript may give them. */
const misspelt: readonly [string, () => object, RegExp][] = [
  [
    'an unknown strategy',
    () => ({ strategy: 'flipp' }),
    /^There is no strategy 'flipp' \(did you mean "flip"\?\); choose one of: clip, .*coca\.$/,
  ],
  [
    'an unknown setting of a strategy',
    () => ({ strategy: { type: 'flip', maskRation: 0.5 } }),
    /^There is no setting 'strategy\.maskRation' \(did you mean "strategy\.maskRatio"\?\)\.$/,
  ],
  [
    "another strategy's setting",
    () => ({ strategy: { type: 'clip', maskRatio: 0.5 } }),
    /^There is no setting 'strategy\.maskRatio'/,
  ],
  [
    'an unknown setting of training',
    () => ({ train: { lrr: 1 } }),
    /^There is no setting 'train\.lrr' \(did you mean "train\.lr"\?\)\.$/,
  ],
  [
    'an unknown group of settings',
    () => ({ trian: { lr: 1 } }),
    /^There is no setting 'trian' \(did you mean "train"\?\)\.$/,
  ],
  [
    'an unknown loss',
    () => ({ strategy: { type: 'clip', loss: 'hinge' } }),
    /^The setting 'strategy\.loss' is "hinge"; it must be "softmax" or "sigmoid" or "global"\.$/,
  ],
  [
    'a loss of an unknown type',
    () => ({ strategy: { type: 'clip', loss: { type: 'hinge' } } }),
    /^The setting 'strategy\.loss\.type' is "hinge"; it must be "softmax" or "sigmoid" or "global"\.$/,
  ],
  [
    "another loss's setting",
    () => ({ strategy: { type: 'fastclip', loss: { type: 'global', duplicates: 'positives' } } }),
    /^There is no setting 'strategy\.loss\.duplicates'/,
  ],
  [
    "another version's setting",
    () => ({
      strategy: { type: 'fastclip', loss: { type: 'global', version: 'v1', temperatureLr: 1 } },
    }),
    /^There is no setting 'strategy\.loss\.temperatureLr'/,
  ],
  [
    'gradient checkpointing that is neither on nor off',
    () => ({ train: { gradCheckpointing: 'yes' } }),
    /^The setting 'train\.gradCheckpointing' is "yes"; it must be true or false\.$/,
  ],
  [
    'an unknown operation of augmentation',
    () => ({ augment: [{ op: 'flipp' }] }),
    /^There is no image operation "flipp" \(did you mean "flip"\?\)/,
  ],
  [
    'an unknown setting of a stage',
    () => ({ strategy: { type: 'siclip', stages: [{ fraction: 0.5 }, { fractions: 0.5 }] } }),
    /^There is no setting 'strategy\.stages\[1\]\.fractions' \(did you mean "strategy\.stages\[1\]\.fraction"\?\)\.$/,
  ],
  [
    'an unknown choice of negatives',
    () => ({ strategy: { type: 'siclip', negatives: 'softest' } }),
    /^The setting 'strategy\.negatives' is "softest"; it must be "hardest" or "assignment"\.$/,
  ],
];

describe('train', () => {
  for (const [name, options, message] of [...refusals, ...misspelt]) {
    it(`refuses ${name} in one sentence, and leaves no run behind`, async () => {
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

describe('resumeTraining of a run with a teacher', () => {
  it('refuses a missing or another teacher, and resumes with the right one', async () => {
    const [teacher, elsewhere] = [runs.path('teacher'), runs.path('elsewhere')];
    cpSync(runs.path('trained', 'model'), teacher, { recursive: true });
    const controller = new AbortController();
    const { run } = await runs.train('orphan', {
      strategy: distill('teacher'),
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
      /^BantamError: The model in .*teacher is not the teacher that this run started with; restore that one/,
    );
    rmSync(teacher, { recursive: true });
    renameSync(elsewhere, teacher);
    const { steps } = await resumeTraining(run);
    assert.equal(steps, 3);
  });
});

describe('the fitted configuration of a run', () => {
  it('has a logit bias for the sigmoid loss', async () => {
    const { run } = await runs.train('sigmoid', {
      strategy: { type: 'clip', loss: 'sigmoid' },
      budget: '8samples',
    });
    const { model } = readRunConfig(run);
    assert.equal(model.initLogitBias, -10);
    assert.ok(Math.abs(model.initLogitScale - Math.log(10)) < 1e-12);
  });

  it('makes one batch of a smaller source, in micro-batches if they fit', async () => {
    for (const [batchSize, microBatch, fitted] of [
      [32, 8, { batchSize: 16, microBatch: 8 }],
      [64, 32, { batchSize: 20, microBatch: 0 }],
    ] as const) {
      const notes: string[] = [];
      const { run } = await runs.train(`small ${microBatch}`, {
        budget: '40samples',
        train: { batchSize, microBatch },
        onEvent: (event: TrainEvent) => event.kind === 'note' && notes.push(event.message),
      });
      const { train } = readRunConfig(run);
      assert.deepEqual({ batchSize: train.batchSize, microBatch: train.microBatch }, fitted);
      assert.match(notes.join(), new RegExp(`^The batch is ${fitted.batchSize} of the 20 samples`));
    }
  });
});
