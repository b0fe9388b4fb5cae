import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { listCandidates } from './candidates.js';
import { commandOf } from './choices.js';
import { Field } from './field.js';
import { nextToTime } from './measuring.js';
import { samplingErrorOf } from './pilots.js';
import { openPlanData } from './plan-data.js';
import { PlanStateFile } from './plan-state.js';
import { sharedPrior } from './prior.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-field-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const table = join(folder, 'pairs.csv');
writeFileSync(table, 'image,caption\na.png,a red square\nb.png,a blue circle\n');
const data = await openPlanData({
  data: `csv:${table}`,
  metric: undefined,
  validate: 'held-out',
  classes: undefined,
  folder,
});
const listed = listCandidates({
  ...data.candidateFacts,
  samplesPerEpoch: 1000,
  isScored: false,
  models: ['ModifiedResNet-Nano-64', 'ViT-Nano-16-64'],
});
const { candidates } = listed;
const state = new PlanStateFile(join(folder, 'state.json'), 'a');

/** The candidates within so many GB, or all memory, each estimated at one and a few bytes. */
function fieldWithin(memory: number): Field {
  return new Field({
    ...listed,
    data,
    shared: sharedPrior(data.candidateFacts.metric, data.validation),
    total: 60,
    memory,
    estimates: candidates.map((_, i) => 1e9 + i),
    state,
  });
}

const field = fieldWithin(0);
const kind = 'ViT-Nano-16-64, clip';

/** Index of a candidate without augmentation. */
function indexOf(kind: string, batch: number): number {
  const isWanted = (one: (typeof candidates)[number]): boolean =>
    one.kind === kind && one.batch === batch && one.augment === 'none';
  return field.indexOf(at(candidates.filter(isWanted), 0).name);
}

describe('Field', () => {
  it('takes the memory of a candidate from its kind, its model, or its own estimate', () => {
    const rate = { samplesPerSecond: 100, bytes: 2e9, stepBytes: 1e9, batch: 128, others: 0 };
    state.save({ rates: { [kind]: rate } });
    assert.equal(field.bytesOf(indexOf(kind, 64)), 1.5e9);
    assert.equal(field.bytesOf(indexOf('ViT-Nano-16-64, flip', 256)), 3e9);
    const other = indexOf('ModifiedResNet-Nano-64, clip', 64);
    assert.equal(field.bytesOf(other), 1e9 + other);
  });

  it('refuses a state that names a candidate that there is not', () => {
    assert.throws(
      () => field.indexOf('ViT-Nano-16-64, batch 63'),
      /state\.json is damaged; delete it/,
    );
  });
});

describe('Field.requireFitting', () => {
  it('names the memory that is needed if nothing of what was timed earlier fits now', () => {
    const rate = { samplesPerSecond: 100, bytes: 3e9, stepBytes: 1e9, batch: 128, others: 0 };
    const kinds = candidates.map((one) => [one.kind, rate]);
    state.save({ rates: Object.fromEntries(kinds) as Record<string, typeof rate> });
    const small = fieldWithin(1.6);
    small.excludeByMeasurement();
    assert.throws(() => {
      small.requireFitting();
    }, /No candidate fits a memory of 1\.6 GB: the smallest needs about \d\.\d GB/);
    fieldWithin(0).requireFitting();
  });
});

describe('nextToTime', () => {
  it('times a kind that was too large at a smaller batch, which stays a candidate', () => {
    const small = fieldWithin(1.6);
    const batchOf = (): number | undefined => nextToTime(kind, { field: small, state })?.batch;
    state.save({ rates: {} });
    assert.equal(batchOf(), 128);
    const rate = { samplesPerSecond: null, bytes: 2e9, stepBytes: 1e9, others: 0 };
    state.save({ rates: { [kind]: { ...rate, batch: 128 } } });
    assert.equal(batchOf(), 64);
    small.excludeByMeasurement();
    assert.deepEqual([64, 128, 256].map((batch) => small.isExcluded(indexOf(kind, batch))), [false, true, true]); // prettier-ignore
    state.save({ rates: { [kind]: { ...rate, bytes: 1.5e9, batch: 64 } } });
    assert.equal(batchOf(), undefined);
    state.save({ rates: { [kind]: { ...rate, samplesPerSecond: 9, batch: 64 } } });
    assert.equal(batchOf(), undefined);
  });
});

describe('commandOf', () => {
  it('names each setting of a run once, and quotes what a shell would split', () => {
    const { options, ...candidate } = at(
      candidates.filter(({ name }) => name.includes('width 64, 2 text layers, batch 256, photo')),
      0,
    );
    const command = commandOf(candidate, {
      ...options,
      train: { ...options.train, memoryLimit: 2 },
      data: 'csv:my pairs.csv',
      budget: '57s',
      validation: { data: 'csv:val.csv', metric: 'acc1' },
      seed: 0,
    });
    assert.equal(
      command,
      "bantam train --model ModifiedResNet-Nano-64 --data 'csv:my pairs.csv' --out runs/planned --budget 57s --validate csv:val.csv --set model.vision.width=64 --set model.text.layers=2 --set train.batchSize=256 --set train.lr=0.00068 --set train.memoryLimit=2 --set tokenizer.contextLength=8 --set augment=photo --set validation.metric=acc1",
    );
  });
});

describe('samplingErrorOf', () => {
  it('is by the interval, or by the number of answers that the metric counts', () => {
    assert.ok(
      Math.abs(samplingErrorOf({ value: 0.5, interval: [0.402, 0.598] }, 7) - 0.05) < 1e-12,
    );
    assert.ok(Math.abs(samplingErrorOf({ value: 0.2 }, 400) - 0.02) < 1e-12);
  });
});
