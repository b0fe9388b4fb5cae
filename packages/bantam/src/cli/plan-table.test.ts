import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlannedChoice, TrainingChoices } from '../study/index.js';
import { formatTrainingChoices } from './plan-table.js';

const choice: PlannedChoice = {
  rank: 1,
  name: 'ViT-Pico-8-64, batch 64',
  model: 'ViT-Pico-8-64',
  run: { data: 'csv:pairs.csv', budget: '38s', validation: { data: 'none' } },
  command: 'bantam train',
  pairs: 900,
  samples: 9000,
  epochs: 10,
  seconds: 38,
  samplesPerSecond: 237,
  isRateMeasured: true,
  bytes: 5e8,
  predicted: { value: 0.4, band: [0.3, 0.5] },
  chanceOfBest: 0.3,
  curve: [],
  pilots: [],
  reason: 'no pilot, the prior alone',
};

const forecast = { value: 0.3, band: [0.2, 0.4] as const, pilots: 0 };
const forecasts = ['a', 'b', 'c', 'd'].map((name) => {
  return { ...forecast, name, whole: { ...forecast, samples: 9000 } };
});

const plan: TrainingChoices = {
  bantam: 'plan',
  formatVersion: 1,
  data: 'csv:pairs.csv',
  fingerprint: { records: 1000, samplesPerEpoch: 900, digest: 'd' },
  pairs: 900,
  metric: 'image_retrieval_recall@10',
  validation: { data: 'csv:pairs.csv', images: 100, isHeldOut: true, chance: 0.011 },
  budget: '80s',
  seconds: 80,
  measuringSeconds: 12,
  pilotSeconds: 28,
  runSeconds: 38,
  machine: { cpu: 'cpu', cores: 2, threads: 2 },
  isPriorOnly: false,
  candidates: 4,
  rungs: [{ seconds: 10, candidates: ['a', 'b'] }],
  choices: [choice, { ...choice, rank: 2, chanceOfBest: 0.1 }],
  forecasts,
  surer: null,
  curve: {},
  leftOut: [],
  notes: [],
};

const linesOf = (changes: Partial<TrainingChoices>): string[] =>
  formatTrainingChoices({ ...plan, ...changes }, 'plan.json').split('\n');

describe('formatTrainingChoices', () => {
  it('names chance, and each part of the budget that is half a second or longer', () => {
    assert.deepEqual(linesOf({}).slice(0, 2), [
      'image_retrieval_recall@10 of 900 pairs, measured on 100 held-out images, chance 1.1 %.',
      '1m 20s: timing 12s, pilots 28s (2 × 10s of training, with processes and evaluation), validation and saving 2s, the run 38s.',
    ]);
    const short = { isPriorOnly: true, measuringSeconds: 0.4, pilotSeconds: 0, rungs: [] };
    assert.equal(
      linesOf({ ...short, seconds: 40 })[1],
      '40s: validation and saving 2s, the run 38s.',
    );
  });

  it('says for how many images predictions are if nothing can be measured', () => {
    const validation = { data: '', images: 20, isHeldOut: true, chance: 0.5 };
    assert.equal(
      linesOf({ validation })[0],
      'image_retrieval_recall@10 of 900 pairs, nothing to measure on: predictions are as if for 20 held-out images, chance 50.0 %.',
    );
  });

  it('gives the rest of the chances below the table', () => {
    assert.ok(linesOf({}).includes('The other 2 candidates together, without a pilot: 60 %.'));
    const prior = linesOf({ isPriorOnly: true });
    assert.ok(prior.includes('The other 2 candidates together: 60 %.'));
    const others = linesOf({ forecasts: forecasts.slice(0, 2) });
    assert.ok(!others.some((line) => line.startsWith('The other')));
  });
});
