import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { arange, expand, memoryStats, scope, zeros } from '@bantam/torch';
import { createModel } from '../clip.js';
import { countModelFlops } from '../../test-support/count-model-flops.js';
import { activationBytes } from './dry-run.js';
import { modelFlops } from './flops.js';
import { modelConfig, presets } from '../presets/presets.js';

describe('modelFlops', () => {
  for (const [name, config] of presets) {
    it(`equals the FLOPs counted in a run of the model: ${name}`, () => {
      const options = { captionTokens: 9 };
      const { image, text, decoder = 0 } = modelFlops(config, options);
      const counted = countModelFlops(config, options);
      assert.ok(Math.abs(image / counted.image - 1) < 1e-6, `image: ${image}, ${counted.image}`);
      assert.ok(Math.abs(text / counted.text - 1) < 1e-6, `text: ${text}, ${counted.text}`);
      const { decoder: run = 0 } = counted;
      assert.equal(decoder > 0, config.decoder !== null);
      assert.ok(Math.abs(decoder - run) <= 1e-6 * run, `decoder: ${decoder}, ${run}`);
    });
  }

  it('frees every tensor of the dry run', () => {
    const { liveTensors, metaBytes } = memoryStats();
    countModelFlops(modelConfig('ViT-M-16-alt'));
    activationBytes(modelConfig('ViT-M-16-alt'));
    assert.deepEqual(
      [memoryStats().liveTensors, memoryStats().metaBytes],
      [liveTensors, metaBytes],
    );
  });
});

describe('activationBytes', () => {
  it('is plausible for every preset', () => {
    for (const [name, config] of presets) {
      const { image, text } = activationBytes(config, { captionTokens: 9 });
      assert.ok(image > 1e5 && text > 1e4, `${name}: ${image}, ${text}`);
    }
  });

  for (const name of ['ViT-Pico-8-64', 'ViT-Nano-16-64']) {
    it(`equals the measured growth of memory: ${name}`, () => {
      const config = modelConfig(name);
      const { imageSize } = config.vision;
      using model = createModel(config, { generator: null });
      const kept = (batch: number) =>
        scope(() => {
          const before = memoryStats().liveBytes;
          const [image, text] = scope(() => [
            model.encodeImage(zeros([batch, 3, imageSize, imageSize])),
            // Their highest id is the last one: all of them are text.
            model.encodeText(expand(arange(12), [batch, 12])),
          ]);
          assert.deepEqual([image.requiresGrad, text.requiresGrad], [true, true]);
          return memoryStats().liveBytes - before;
        });
      const real = (kept(8) - kept(4)) / 4;
      const { image, text } = activationBytes(config, { captionTokens: 12 });
      assert.ok(Math.abs((image + text) / real - 1) < 0.01, `${image + text} of ${real}`);
    });
  }
});
