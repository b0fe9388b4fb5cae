import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { at } from '../../base/at.js';
import type { EvaluationResult } from '../../eval/index.js';
import { gridsOf } from '../config/axes.js';
import { writeResults, type Measurement } from './measurement.js';
import type { StudyRun } from './study-run.js';
import { chooseRate, type RateTrial } from './tune.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-tune-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const arm = at(
  gridsOf({
    name: 'tuned',
    data: 'a',
    grids: [{ name: 'grid', epochs: [1] }],
    measure: [],
  }).flatMap(({ arms }) => arms),
  0,
);
const measurement: Measurement = {
  dataset: { name: 'tuning', spec: 'b' },
  tasks: ['retrieval'],
  probe: {},
  file: join('evaluation', 'tuning.json'),
};

const rates = [1e-4, 1e-3, 1e-2, 0.1, 1];

/** Trials of learning rates with these values of a metric; null for a run that failed. */
function trialsOf(metric: string, values: readonly (number | null)[]): RateTrial[] {
  return values.map((value, i) => {
    const run = join(folder, metric, String(i));
    const result: EvaluationResult = {
      dataset: 'tuning',
      spec: 'b',
      task: 'retrieval',
      samples: 10,
      metrics: { [metric]: value },
      chance: {},
      quarantined: 0,
    };
    if (value !== null) writeResults(run, measurement, [result]);
    const whole: Pick<StudyRun, 'folder'> = { folder: run };
    return { arm, lr: at(rates, i), run: whole };
  });
}

function choose(metric: string, values: readonly (number | null)[]) {
  const tune = { lr: [], data: 'b', metric };
  return chooseRate(arm, trialsOf(metric, values), { tune, measurement });
}

describe('chooseRate', () => {
  it('takes the rate with the best value, the lower one of equals, and passes over failures', () => {
    const found = choose('mean_recall@1', [0.1, null, 0.3, 0.3, 0.2]);
    assert.equal(found.chosen, 1e-2);
    assert.equal(found.isAtEnd, false);
    assert.deepEqual(
      found.tried.map(({ value }) => value),
      [0.1, null, 0.3, 0.3, 0.2],
    );
  });

  it('takes the least rank, and says that the search ended there', () => {
    const found = choose('image_retrieval_median_rank', [4, 7, 9]);
    assert.equal(found.chosen, 1e-4);
    assert.equal(found.isAtEnd, true);
  });

  it('chooses none where every try failed', () => {
    const { chosen, isAtEnd } = choose('image_retrieval_recall@1', [null, null]);
    assert.deepEqual([chosen, isAtEnd], [null, false]);
  });
});
