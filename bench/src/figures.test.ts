import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { figuresOf, flopsPerSample } from './figures.js';
import { measuredCase } from './results.test.helper.js';
import type { Repetition } from './results.js';

describe('figuresOf', () => {
  it('takes medians, and ratios repetition by repetition', () => {
    const figures = figuresOf(measuredCase, 2);
    assert.equal(figures.bantam, 25);
    assert.equal(figures.baseline, 10);
    assert.deepEqual(figures.ratio, { median: 2.5, lowest: 2, highest: 3 });
    assert.equal(figures.memoryRatio, 0.5);
  });

  it('counts a training step as three forward passes at real caption lengths', () => {
    assert.equal(flopsPerSample(measuredCase), 30e9);
    // 25 samples/s of 30 GFLOP on a machine of 1500 GFLOP/s
    assert.equal(figuresOf(measuredCase, 2).productFraction, 0.5);
    assert.equal(flopsPerSample({ ...measuredCase, kind: 'image' }), 9e9);
    assert.equal(flopsPerSample({ ...measuredCase, kind: 'text' }), 1e9);
  });

  it('gives no ratio without a baseline', () => {
    const repetitions = measuredCase.repetitions.map((repetition) => ({
      ...repetition,
      baseline: null,
    }));
    const figures = figuresOf({ ...measuredCase, repetitions }, 2);
    assert.equal(figures.baseline, null);
    assert.equal(figures.ratio, null);
    assert.equal(figures.cpuRatio, null);
    assert.equal(figures.bantam, 25);
  });

  it('tells how much other programs disturbed the worst slice', () => {
    const [first] = measuredCase.repetitions as [Repetition];
    const disturbed = { ...first, bantam: { ...first.bantam, foreignCpuSeconds: 0.5 } };
    const repetitions = [...measuredCase.repetitions, disturbed];
    assert.equal(figuresOf({ ...measuredCase, repetitions }, 2).disturbance, 0.25);
  });
});
