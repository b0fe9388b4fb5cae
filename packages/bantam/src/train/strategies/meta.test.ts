import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryStats, scope } from '@bantam/torch';
import { captioning, createBench, masked, maskless } from '../../test-support/strategy-bench.js';
import type { ModelConfig } from '../../models/index.js';
import { nameOf, strategies, type StrategyInput } from './index.js';

/** Settings of strategies that need some, by name. */
const settings: Readonly<Record<string, StrategyInput>> = {
  slip: { type: 'slip', headWidth: 10, headDim: 6 },
  clipa: { type: 'clipa', imageSize: 8, textLength: 3 },
};

const configs: Readonly<Record<string, ModelConfig>> = {
  coca: captioning(masked),
  siglip: maskless,
};

/** LiT learns from stored features, and distillation reads numbers of its teachers: these have no shape alone. */
const needsNumbers = ['lit', 'distill', 'siclip'];

/** libtorch has no backward pass of layer norm on meta, so this is the forward pass of a step. */
describe('features and losses without memory, on meta', () => {
  for (const name of strategies.map(nameOf).filter((one) => !needsNumbers.includes(one))) {
    it(`have their shapes: ${name}`, () => {
      scope(() => {
        const bench = createBench(settings[name] ?? (name as StrategyInput), {
          config: configs[name] ?? masked,
          device: 'meta',
          dtype: 'float32',
        });
        const before = memoryStats().liveBytes;
        const { strategy, batch } = bench;
        const { step } = bench.options(1, 0.3);
        const features = strategy.encode(batch, step);
        const sizes = Object.values(features).map(({ device, shape: [size] }) => [device, size]);
        assert.ok(sizes.length >= 2);
        for (const size of sizes) assert.deepEqual(size, ['meta', 8]);
        const losses = Object.values(strategy.losses(features, step));
        assert.ok(losses.length > 0);
        for (const { device, shape } of losses) assert.deepEqual([device, shape], ['meta', []]);
        assert.ok(memoryStats().liveBytes - before < 1e5, 'it takes memory of the CPU');
      });
    });
  }
});
