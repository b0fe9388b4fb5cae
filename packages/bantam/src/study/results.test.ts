import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gridsOf } from './config/axes.js';
import type { StudyColumn } from './config/metrics.js';
import type { StudyOptions } from './config/schema.js';
import { remarksOn, type RunIncidents } from './remarks.js';
import { summarize, type StudyRow } from './results.js';

const column: StudyColumn = {
  id: 'test, acc1',
  metric: 'acc1',
  task: 'zero-shot',
  dataset: 'test',
  lowerIsBetter: false,
};

const none: RunIncidents = { broken: 0, skipped: 0, stoppedEarly: false, unmeasured: [] };

/** The comparisons of a study whose runs have the accuracies of `valueOf`. */
function comparisons(
  grid: Omit<StudyOptions['grids'][number], 'name'>,
  valueOf: (arm: string, seed: number) => number,
) {
  const study = { name: 'study', data: 'emoji', grids: [{ name: 'grid', ...grid }], measure: [] };
  const grids = gridsOf(study);
  const rowOf = (arm: string, seed: number): StudyRow => ({
    seed,
    run: `${arm}, ${seed}`,
    records: 10,
    epochs: 1,
    samples: 10,
    flops: 10,
    seconds: 1,
    lr: 6e-4,
    incidents: none,
    metrics: { [column.id]: { value: valueOf(arm, seed) } },
  });
  const rows = new Map(
    grids.flatMap(({ arms }) =>
      arms.map((arm) => [arm, [0, 1, 2].map((seed) => rowOf(arm.name, seed))] as const),
    ),
  );
  return summarize({
    study,
    grids,
    columns: [column],
    rows,
    tuned: [],
    failures: [],
    processes: 1,
    threads: 1,
  });
}

const valueOf = (arm: string, seed: number): number =>
  (arm.includes('200') ? 0.5 : 0.2) + (arm.includes('flip') ? 0.1 + seed / 1000 : 0);

describe('comparisons of a study', () => {
  it('are with the baseline at the same cost if the grid varies cost and something else', () => {
    const { comparisons: found, grids } = comparisons(
      { axes: { strategy: ['clip', 'flip'] }, budget: ['100samples', '200samples'] },
      valueOf,
    );
    assert.deepEqual(found.map(({ arm, baseline }) => [arm, baseline]), [
      ['flip, 100samples', 'clip, 100samples'],
      ['flip, 200samples', 'clip, 200samples'],
    ]); // prettier-ignore
    for (const { difference } of found) assert.ok(Math.abs(difference - 0.101) < 1e-12);
    assert.equal(grids[0]?.baseline, 'clip at equal cost');
  });

  it('are with the first arm if the grid varies the cost alone', () => {
    const { comparisons: found } = comparisons({ budget: ['100samples', '200samples'] }, valueOf);
    assert.deepEqual(found.map(({ arm, baseline }) => [arm, baseline]), [
      ['200samples', '100samples'],
    ]); // prettier-ignore
  });
});

describe('remarks on a study', () => {
  const rowOf = (run: string, incidents: Partial<RunIncidents> = {}): StudyRow => {
    const costs = { records: 10, epochs: 1, samples: 10, flops: 10, seconds: 1, lr: 6e-4 };
    return { seed: 0, run, ...costs, incidents: { ...none, ...incidents }, metrics: {} };
  };

  it('are none if all went as planned', () => {
    assert.deepEqual(remarksOn([{ rows: [rowOf('a'), rowOf('b')] }]), []);
  });

  it('name what was not read, skipped and stopped, with the runs, of which two arms may share one', () => {
    const shared = rowOf('a', { broken: 3, unmeasured: [{ dataset: 'test', images: 1 }] });
    const other = rowOf('b', {
      broken: 1,
      skipped: 2,
      stoppedEarly: true,
      unmeasured: [{ dataset: 'test', images: 1 }],
    });
    assert.deepEqual(remarksOn([{ rows: [shared, other] }, { rows: [shared, rowOf('c')] }]), [
      '1 image of test could not be read: the metrics are of the others.',
      'Up to 3 training images could not be read, in 2 of 3 runs: others took their place.',
      'Up to 2 steps had a loss or a gradient that was not finite, in 1 of 3 runs: they changed nothing.',
      '1 of 3 runs stopped early, for want of better validations.',
    ]);
  });
});
