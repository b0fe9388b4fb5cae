import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Generator, memoryStats, randn, resetPeakBytes, tensor } from '@bantam/torch';
import { parseModelConfig } from '../../models/index.js';
import type { StrategyInput } from '../strategies/index.js';
import { addGradients } from './gradients.js';
import type { MicroBatch } from './micro-batch.js';
import { createBench } from '../../test-support/strategy-bench.js';

const config = parseModelConfig({
  embedDim: 32,
  vision: { imageSize: 16, patchSize: 4, width: 64, headWidth: 32, layers: 2 },
  text: { width: 32, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 },
});

/** Bytes of tensors at the peak of a step of `batch` samples, `size` of them at a time. */
function peakBytes(strategy: StrategyInput, batch: number, size: number): number {
  const bench = createBench(strategy, { config, dtype: 'float32' });
  const views = Object.keys(bench.strategy.views([]));
  const microBatches = Array.from({ length: batch / size }, (_, seed): MicroBatch => {
    const load: MicroBatch['load'] = () => {
      const generator = new Generator({ seed });
      const side = config.vision.imageSize;
      const rows = Array.from({ length: size }, (_, i) => [1, 2 + ((seed + i) % 16), 19]);
      return {
        images: Object.fromEntries(
          views.map((view) => [view, randn([size, 3, side, side], generator)]),
        ),
        ids: tensor(rows, { dtype: 'int64' }),
        captions: rows.map(() => ''),
        indices: new Int32Array(size),
      };
    };
    return { size, load };
  });
  const step = (): void => {
    addGradients(microBatches, bench.options(1, 0));
  };
  // The first step makes the parameters' gradients, which stay.
  step();
  const before = memoryStats().liveBytes;
  resetPeakBytes();
  step();
  return memoryStats().peakBytes - before;
}

describe('addGradients in micro-batches', () => {
  const [batch, size] = [48, 8];
  for (const strategy of [
    { type: 'clip' },
    { type: 'siglip' },
    { type: 'slip', headWidth: 32, headDim: 16 },
  ] as const) {
    it(`takes the memory of one micro-batch and of the features: ${strategy.type}`, () => {
      const alone = peakBytes(strategy, size, size);
      // Two towers' features, and with SLIP two views' representations, in float32.
      const width = 2 * config.embedDim + (strategy.type === 'slip' ? 2 * 64 : 0);
      const features = 4 * batch * width;
      const bound = 1.3 * alone + features;
      const cached = peakBytes(strategy, batch, size);
      assert.ok(cached <= bound, `${cached} bytes, beside ${alone} of a micro-batch`);
      const whole = peakBytes(strategy, batch, batch);
      assert.ok(whole > 2 * bound, `${whole} bytes as a whole are no test for ${bound}`);
    });
  }
});
