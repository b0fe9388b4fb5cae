import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UsageError } from '../../base/errors.js';
import { modelConfig, modelFlops } from '../../models/index.js';
import type { RunOptions } from './config.js';
import { heldOutMetric, planHoldOut } from './hold-out.js';
import { resolveConfig } from './resolve.js';

const model = 'ViT-Nano-16-64';

function plan(size: number, options: Partial<RunOptions>, count?: number) {
  const config = resolveConfig({ model, data: 'folder:x', budget: '5m', ...options });
  const grouping = count === undefined ? {} : { grouping: { groups: new Int32Array(size), count } };
  return planHoldOut(config, { size, ...grouping });
}

describe('planHoldOut', () => {
  it('holds out 5 %, but 100 to 1000 records, of data that are passed over four times', () => {
    for (const [size, records] of [
      [1000, 100],
      [1500, 100],
      [8000, 400],
      [20_000, 1000],
      [100_000, 1000],
    ] as const) {
      const found = plan(size, { budget: `${4 * size}samples` });
      assert.ok(found !== null);
      assert.ok(Math.abs(found.fraction * size - records) < 1e-3 * records, String(size));
      assert.equal(found.passes, 4);
    }
  });

  it('holds nothing out of few records, nor for few passes, nor beside other data', () => {
    assert.equal(plan(999, { budget: '1msamples' }), null);
    assert.equal(plan(5000, { budget: '1msamples' }, 900), null);
    assert.equal(plan(5000, { budget: '19999samples' }), null);
    for (const data of ['none', 'csv:val.csv']) {
      assert.equal(plan(5000, { budget: '1msamples', validation: { data } }), null);
    }
  });

  it('holds out what is asked for, of few records a tenth', () => {
    const data = 'held-out';
    assert.equal(plan(300, { budget: '300samples', validation: { data } })?.fraction, 0.1);
    const validation = { data, holdOut: 0.2 };
    assert.equal(plan(5000, { budget: '1ksamples', validation })?.fraction, 0.2);
  });

  it('estimates the passes of budgets of FLOPs and time', () => {
    const { image, text } = modelFlops(modelConfig(model, {}));
    const flops = 3 * (image + text) * 30_000;
    assert.ok(
      Math.abs((plan(5000, { budget: `${Math.round(flops)}flops` })?.passes ?? 0) - 6) < 1e-3,
    );
    // 1 TFLOP in a second.
    const seconds = Math.round(flops / 1e12);
    const expected = (seconds * 1e12) / (3 * (image + text)) / 5000;
    assert.ok(Math.abs((plan(5000, { budget: `${seconds}s` })?.passes ?? 0) - expected) < 1e-3);
    assert.equal(plan(5_000_000, { budget: `${seconds}s` }), null);
  });

  it('leaves reinforced data whole', () => {
    const strategy = { type: 'distill', reinforced: 'stored' } as const;
    assert.equal(plan(5000, { budget: '1msamples', strategy }), null);
    const validation = { data: 'held-out' };
    assert.throws(() => plan(5000, { budget: '1msamples', strategy, validation }), UsageError);
  });

  it('refuses a fraction beside other data, and patience beside none', () => {
    const run = { model, data: 'folder:x', budget: '5m' } as const;
    const validation = { data: 'csv:val.csv', holdOut: 0.1 };
    assert.throws(() => resolveConfig({ ...run, validation }), /has no effect beside/);
    const patient = { data: 'none', patience: 2 };
    assert.throws(() => resolveConfig({ ...run, validation: patient }), /--validate held-out/);
  });
});

describe('heldOutMetric', () => {
  const labelSets = { label: { classes: ['a', 'b'], templates: [], labels: new Int32Array(6) } };
  const source = (caption: (i: number) => string, sets: typeof labelSets | object) => ({
    size: 6,
    labelSets: sets as typeof labelSets,
    record: (i: number) => ({ key: `${i}`, captions: [caption(i)], meta: {} }),
  });
  const metric = 'image_retrieval_recall@1';

  it('is accuracy where captions are names of classes, else that of the settings', () => {
    const shared = (i: number) => `class ${i % 2}`;
    assert.equal(heldOutMetric({ metric }, source(shared, labelSets)), 'acc1');
    assert.equal(heldOutMetric({ metric }, source(shared, {})), metric);
    assert.equal(
      heldOutMetric(
        { metric },
        source((i) => `title ${i}`, labelSets),
      ),
      metric,
    );
    const named = 'mean_recall@1';
    assert.equal(heldOutMetric({ metric: named }, source(shared, labelSets)), named);
  });
});
