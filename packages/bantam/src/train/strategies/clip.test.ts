import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { add, Generator, mean, RandomStreams, randn, scope, tensor } from '@bantam/torch';
import { createModel, parseModelConfig, upcycle } from '../../models/index.js';
import { resolveConfig } from '../config/resolve.js';
import { onePhase } from './phases.js';
import { createStrategy } from './index.js';
import type { StepContext } from './strategy.js';

const config = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 },
});

describe('clip', () => {
  it('adds the losses of routers', () => {
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
        const run = { model: config, data: 'none', budget: '1samples' };
        const strategy = createStrategy(resolveConfig(run), { samples: 3 });
        const step: StepContext = {
          model,
          streams,
          phase: onePhase,
          samples,
          step: 1,
          progress: 0,
          precision: 'float32',
        };
        const features = strategy.encode({ images, ids, captions, indices }, step);
        return strategy.losses(features, step);
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
