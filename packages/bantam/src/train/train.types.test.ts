/** Wrong settings are type errors: this file compiles only if the marked lines do not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TrainOptions } from './train.js';

const run = { model: 'ViT-Nano-16-64', data: 'csv:pairs.csv', out: 'runs/first', budget: '30m' };

/** A call of `train()` that only the compiler sees. */
const call = (options: TrainOptions): TrainOptions => options;

describe('the types of train()', () => {
  it('accept settings of every group, and refuse misspelt ones', () => {
    const options = [
      call({
        ...run,
        train: { lr: 6e-4, freeze: ['visual'] },
        strategy: { type: 'flip', maskRatio: 0.5, loss: { type: 'sigmoid', chunk: 64 } },
        tokenizer: { contextLength: 16 },
        validation: { data: 'csv:validation.csv', patience: 5 },
        preprocess: { resizeMode: 'squash' },
        augment: 'simclr',
        init: { image: 'runs/zero/model' },
        seed: 3,
      }),
      call({ ...run, strategy: 'siglip' }),
      call({ ...run, strategy: { type: 'fastclip', loss: { type: 'global', version: 'v2' } } }),
      // @ts-expect-error: it is lr.
      call({ ...run, train: { lrr: 1 } }),
      // @ts-expect-error: a number.
      call({ ...run, train: { lr: '6e-4' } }),
      // @ts-expect-error: it is maskRatio.
      call({ ...run, strategy: { type: 'flip', maskRation: 0.5 } }),
      // @ts-expect-error: clip has no masks.
      call({ ...run, strategy: { type: 'clip', maskRatio: 0.5 } }),
      // @ts-expect-error: the sigmoid loss has no temperature of its own.
      call({ ...run, strategy: { type: 'clip', loss: { type: 'sigmoid', temperature: 1 } } }),
      // @ts-expect-error: a constant temperature has no learning rate.
      call({ ...run, strategy: { type: 'clip', loss: { type: 'global', version: 'v1', rho: 1 } } }),
      // @ts-expect-error: settings are typed, not named by strings.
      call({ ...run, settings: { 'train.lr': '6e-4' } }),
      // @ts-expect-error: there is no such augmentation.
      call({ ...run, augment: 'simclrr' }),
    ];
    assert.equal(options.length, 11);
  });
});
