import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { modelFlops } from '../../models/index.js';
import { createBench, maskless } from '../../test-support/strategy-bench.js';
import { onePhase } from './phases.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';
import type { StrategyInput } from './index.js';

const runs = new TinyRuns();
before(() => runs.make());
after(() => {
  runs.remove();
});

/** FLOPs of a step per sample. */
function costOf(settings: StrategyInput, forwardPasses: number, recomputed = false): number {
  const { phase, strategy } = createBench(settings, { config: maskless });
  return strategy.flops(maskless, { captionTokens: 4, phase, forwardPasses, recomputed });
}

describe('flops', () => {
  const { image, text } = modelFlops(maskless, { captionTokens: 4, training: true });
  // Products with 16·10 + 10·10 + 10·6 weights, for each of two views.
  const heads = 2 * 2 * (160 + 100 + 60);
  const slip = { type: 'slip', headWidth: 10, headDim: 6 } as const;
  for (const { settings, expected } of [
    { settings: { type: 'clip' }, expected: [3 * (image + text), 4 * (image + text)] },
    {
      settings: slip,
      expected: [3 * (3 * image + text + heads), 4 * (3 * image + text) + 3 * heads],
    },
    {
      settings: { type: 'lit', storeFeatures: false },
      expected: [image + 3 * text, 2 * image + 4 * text],
    },
    { settings: { type: 'lit' }, expected: [3 * text, 4 * text] },
  ] as const) {
    it(`counts the passes of ${JSON.stringify(settings)}, one more forward with a cache`, () => {
      assert.deepEqual([costOf(settings, 1), costOf(settings, 2)], expected);
    });
  }

  it('counts the shorter work of a phase', () => {
    const { strategy } = createBench('flip', { config: maskless });
    const cost = { captionTokens: 4, forwardPasses: 1, recomputed: false };
    const [reduced, tuning] = strategy.phases.map((phase) => strategy.flops(maskless, { ...cost, phase })); // prettier-ignore
    assert.ok((reduced ?? NaN) < 0.8 * (tuning ?? NaN));
    assert.equal(tuning, strategy.flops(maskless, { ...cost, phase: onePhase }));
  });

  it('counts what is computed again, with a gradient cache too, but no locked tower', () => {
    const clip = { type: 'clip' } as const;
    assert.equal(costOf(clip, 1, true), 4 * (image + text));
    assert.equal(costOf(clip, 2, true), 5 * (image + text));
    assert.equal(costOf(slip, 1, true), 4 * (3 * image + text) + 3 * heads);
    const lit = { type: 'lit', storeFeatures: false } as const;
    assert.equal(costOf(lit, 1, true), image + 4 * text);
  });

  it('counts no gradients of what is frozen, and the products of low-rank changes', () => {
    const { phase, strategy } = createBench('clip', { config: maskless });
    const none = { activations: 0, weights: 0, changes: 0 };
    const trained = {
      image: none,
      text: { activations: 1, weights: 0, changes: 0.1 },
      decoder: none,
    };
    const cost = { captionTokens: 4, phase, forwardPasses: 1, recomputed: false, trained };
    // Text: forward and its activations' gradients with the changes' products, and the changes' own.
    const close = (given: number, expected: number) => {
      assert.ok(Math.abs(given / expected - 1) < 1e-12, `${given} instead of ${expected}`);
    };
    close(strategy.flops(maskless, cost), image + (2 * 1.1 + 0.1) * text);
    const again = { ...cost, forwardPasses: 2, recomputed: true };
    close(strategy.flops(maskless, again), 2 * image + (4 * 1.1 + 0.1) * text);
  });

  it('makes a budget of FLOPs pay for one more forward pass', async () => {
    const budget = '4e8flops';
    const plain = await runs.train('plain', { budget });
    for (const [name, train] of [
      ['micro-batches', { microBatch: 4 }],
      ['gradient checkpointing', { gradCheckpointing: true }],
    ] as const) {
      const dearer = await runs.train(name, { budget, train });
      const ratio = dearer.samples / plain.samples;
      assert.ok(plain.steps > 10);
      assert.ok(Math.abs(ratio - 3 / 4) < 0.08, `${dearer.samples} of ${plain.samples}`);
    }
  });
});
