import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { figuresOf, flopsPerSample } from './figures.js';
import { measuredCase } from './results.test.helper.js';
import type { Round } from './results.js';

describe('figuresOf', () => {
  it('takes medians, and ratios round by round', () => {
    const figures = figuresOf(measuredCase, 2);
    assert.equal(figures.bantam, 25);
    assert.equal(figures.peer, 10);
    assert.deepEqual(figures.ratio, { median: 2.5, lowest: 2, highest: 3 });
    assert.equal(figures.memoryRatio, 0.5);
  });

  it('counts a training step as three forward passes at real caption lengths', () => {
    assert.equal(flopsPerSample(measuredCase), 30e9);
    // 25 samples/s of 30 GFLOP on a machine of 1500 GFLOP/s
    assert.equal(figuresOf(measuredCase, 2).share, 0.5);
    assert.equal(flopsPerSample({ ...measuredCase, kind: 'image' }), 9e9);
    assert.equal(flopsPerSample({ ...measuredCase, kind: 'text' }), 1e9);
  });

  it('gives no ratio without a peer', () => {
    const rounds = measuredCase.rounds.map((round) => ({ ...round, peer: null }));
    const figures = figuresOf({ ...measuredCase, rounds }, 2);
    assert.equal(figures.peer, null);
    assert.equal(figures.ratio, null);
    assert.equal(figures.cpuRatio, null);
    assert.equal(figures.bantam, 25);
  });

  it('tells how much other programs disturbed the worst slice', () => {
    const [first] = measuredCase.rounds as [Round];
    const disturbed = { ...first, bantam: { ...first.bantam, foreignCpuSeconds: 0.5 } };
    const rounds = [...measuredCase.rounds, disturbed];
    assert.equal(figuresOf({ ...measuredCase, rounds }, 2).disturbance, 0.25);
  });
});
