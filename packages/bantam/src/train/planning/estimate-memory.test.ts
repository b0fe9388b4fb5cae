import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { modelConfig, withChanges } from '../../models/index.js';
import { estimateMemory, modelMemory } from './estimate-memory.js';

/** One small raw image: next to no memory for decoded ones. */
const source = { size: 1, location: () => ({ path: '', raw: { width: 1, height: 1 } }) };

function estimate(
  preset: string,
  { batchSize, ...options }: Parameters<typeof modelMemory>[1] & { readonly batchSize: number },
): number {
  const model = withChanges(modelConfig(preset), { text: { contextLength: 16, vocabSize: 4096 } });
  const batches = { batchSize, source, imageSize: model.vision.imageSize, memoryLimit: 0 };
  return estimateMemory(modelMemory(model, options), batches);
}

describe('estimateMemory', () => {
  // Totals of "bantam train --plan" in MB: decoded images apart, captions of 16 tokens.
  for (const [preset, precision, batchSize, total] of [
    ['ViT-Pico-8-64', 'fp32', 64, 642],
    ['ViT-Pico-8-64', 'fp32', 512, 2058],
    ['ViT-Pico-8-64', 'bf16', 512, 1495],
    ['ModifiedResNet-Nano-64', 'fp32', 512, 3014],
    ['ModifiedResNet-Nano-64', 'bf16', 64, 817],
    ['ViT-Ti-16', 'bf16', 256, 4821],
  ] as const) {
    it(`is near a plan by dry runs: ${preset} in ${precision}, batch ${batchSize}`, () => {
      const ratio = estimate(preset, { precision, batchSize }) / (total * 1e6);
      assert.ok(ratio > 0.8 && ratio < 1.4, `${ratio}`);
    });
  }

  it('adds a fifth number of each parameter for a moving average, and four for other ones', () => {
    const options = { precision: 'fp32', batchSize: 64 } as const;
    const plain = estimate('ViT-Pico-8-64', options);
    const average = estimate('ViT-Pico-8-64', { ...options, hasAverage: true });
    const others = estimate('ViT-Pico-8-64', { ...options, otherParameters: 1e6 });
    assert.equal(others - plain, 16e6);
    const parameters = (average - plain) / 4;
    assert.ok(parameters > 1e6 && parameters < 3e6, `${parameters}`);
  });
});
