import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseForRung, planRungs } from './rungs.js';

describe('planRungs', () => {
  it('gives each rung an equal part of the time, for a quarter of the candidates of the last', () => {
    const rungs = planRungs({ seconds: 4800, overhead: 4, shortest: 30, candidates: 300 });
    assert.deepEqual(rungs, [
      { candidates: 16, seconds: 1600 / 16 - 4 },
      { candidates: 4, seconds: 1600 / 4 - 4 },
      { candidates: 2, seconds: 1600 / 2 - 4 },
    ]);
  });

  it('has as many candidates as useful runs fit, and never more than there are', () => {
    const counts = (seconds: number, candidates = 300): number[] =>
      planRungs({ seconds, overhead: 2, shortest: 10, candidates }).map((rung) => rung.candidates);
    assert.deepEqual(counts(16 * 3 * 12), [16, 4, 2]);
    assert.deepEqual(counts(16 * 3 * 12 - 1), [12, 3, 2]);
    assert.deepEqual(counts(8 * 2 * 12), [8, 2]);
    assert.deepEqual(counts(24), [2]);
    assert.deepEqual(counts(24, 1), []);
    assert.deepEqual(counts(1e5, 5), [4, 2]);
  });

  it('is empty if not even two useful runs fit', () => {
    assert.deepEqual(planRungs({ seconds: 23, overhead: 2, shortest: 10, candidates: 9 }), []);
  });
});

describe('chooseForRung', () => {
  const chances = [0.3, 0.25, 0.2, 0.15, 0.1, 0, 0, 0];
  const values = [0.8, 0.8, 0.8, 0.7, 0.6, 0.1, 0.5, 0.3];
  const presets = ['a', 'a', 'a', 'a', 'b', 'c', 'c', 'd'];
  const choose = (
    count: number,
    { before = [], excluded = [] }: { before?: number[]; excluded?: number[] } = {},
  ): number[] =>
    chooseForRung({ count, chances, values, presets, before, excluded: new Set(excluded) });

  it('takes the likeliest first, a third of them of one preset at most, and then by value', () => {
    assert.deepEqual(choose(6), [0, 1, 4, 6, 7, 5]);
  });

  it('has the highest prediction in the first rung, however small its chance', () => {
    const sure = { chances: [0.1, 0.5, 0.4], values: [0.9, 0.8, 0.7], presets: ['a', 'b', 'c'] };
    const among = { ...sure, before: [], excluded: new Set<number>() };
    assert.deepEqual(chooseForRung({ ...among, count: 2 }), [0, 1]);
    const ofOnePreset = { ...among, presets: ['a', 'a', 'b'] };
    assert.deepEqual(chooseForRung({ ...ofOnePreset, count: 2 }), [0, 1]);
  });

  it('leaves out what failed', () => {
    assert.deepEqual(choose(2, { excluded: [0, 1] }), [2, 4]);
  });

  it('keeps half of a later rung from the one before, and lets likelier new ones in', () => {
    assert.deepEqual(choose(2, { before: [3, 4, 5, 6] }), [3, 0]);
    assert.deepEqual(choose(2, { before: [0, 4] }), [0, 1]);
  });
});
