import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { add, Generator, mean, RandomStreams, randn, scope, tensor } from '@bantam/torch';
import { createModel, parseModelConfig, preprocessFor, upcycle } from '../../models/index.js';
import { freshWeights } from '../config/config.js';
import { onePhase } from './phases.js';
import { createStrategy, parseStrategy } from './index.js';

const config = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 },
});

describe('clip', () => {
  it('adds the losses of routers where a model has some', () => {
    scope(() => {
      const generator = new Generator({ seed: 1 });
      const dense = createModel(config, { generator });
      const sparse = upcycle(dense, { generator });
      const images = { image: randn([3, 3, 16, 16], generator) };
      const ids = tensor([[1, 4, 19], [1, 2, 19], [7, 5, 19]], { dtype: 'int64' }); // prettier-ignore
      const [plain, routed] = [dense, sparse].map((model) => {
        const streams = new RandomStreams({ seed: 0 });
        const indices = Int32Array.of(0, 1, 2);
        const captions = ['a', 'b', 'c'];
        const samples = { indices, captions, epoch: 0 };
        const strategy = createStrategy(
          {
            strategy: parseStrategy('clip'),
            model: config,
            init: freshWeights,
            seed: 0,
            preprocess: preprocessFor(16),
          },
          { samples: 3 },
        );
        const context = { model, streams, phase: onePhase };
        const features = strategy.encode({ images, ids, captions, indices }, context);
        return strategy.losses(features, {
          model,
          samples,
          progress: 0,
          precision: 'float32',
          step: 1,
        });
      });
      assert.deepEqual(Object.keys(plain ?? {}), ['contrastive']);
      assert.ok(routed?.auxiliary && routed.contrastive && plain?.contrastive);
      const difference = routed.contrastive.item() - plain.contrastive.item();
      assert.ok(Math.abs(difference) < 1e-5, `${difference}`);
      const [image, text] = [sparse.visual.encode(images.image), sparse.text.encode(ids)];
      assert.ok(image.auxiliaryLoss && text.auxiliaryLoss);
      const expected = mean(add(image.auxiliaryLoss, text.auxiliaryLoss)).item();
      assert.ok(Math.abs(routed.auxiliary.item() - expected) < 1e-6);
      assert.ok(expected > 0.02, 'two routers, 0.01 each at an even load');
    });
  });
});
