import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BantamError, UsageError } from '../../base/errors.js';
import { averageModels, loadModel } from '../../models/index.js';
import { saveTinyModel } from '../../test-support/saved-model.js';
import { writeImages } from '../../test-support/image-folders.js';
import { evaluate } from '../evaluate.js';
import { greedySoup } from './greedy-soup.js';
import { bestFactor, mixingCurve } from './mixing-curve.js';

let folder = '';
const path = (name: string) => join(folder, name);
let data = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-mixing-'));
  await writeImages(path('images'), 3);
  data = `folder:${path('images')}`;
  for (const seed of [1, 2, 3, 4]) await saveTinyModel(path(`model-${seed}`), seed);
});
after(() => {
  rmSync(folder, { recursive: true });
});

async function accuracyOf(model: string): Promise<number> {
  const loaded = await loadModel(model);
  using own = loaded.model;
  const [result] = await evaluate({ ...loaded, model: own }, [data], { tasks: ['zero-shot'] });
  return result?.metrics.acc1 ?? NaN;
}

describe('mixingCurve', () => {
  it('has the values of the two models at its ends, and both sides count half', async () => {
    const [from, to] = [path('model-1'), path('model-2')];
    const curve = await mixingCurve({
      from,
      to,
      own: [data],
      others: [data, data],
      factors: [0.5],
    });
    assert.deepEqual(
      curve.points.map(({ alpha }) => alpha),
      [0, 0.5, 1],
    );
    assert.deepEqual(
      curve.data.map(({ role, metric, samples, chance }) => [role, metric, samples, chance]),
      ['own', 'other', 'other'].map((role) => [role, 'acc1', 12, 0.25]),
    );
    assert.equal(curve.points[0]?.own, await accuracyOf(from));
    assert.equal(curve.points[2]?.own, await accuracyOf(to));
    for (const { own, others, score, values } of curve.points) {
      assert.equal(values.length, 3);
      assert.equal(score, (own + (others ?? NaN)) / 2);
    }
  });

  it('refuses factors, data and metrics that make no curve', async () => {
    const options = { from: path('model-1'), to: path('model-2'), own: [data] };
    await assert.rejects(mixingCurve({ ...options, factors: [2] }), UsageError);
    await assert.rejects(mixingCurve({ ...options, own: [] }), UsageError);
    const metric = 'image_retrieval_median_rank';
    await assert.rejects(mixingCurve({ ...options, metric }), /Less is better/);
    await assert.rejects(mixingCurve({ ...options, own: ['folder:nowhere'] }), BantamError);
  });
});

describe('bestFactor', () => {
  it('takes the highest score, of equals the factor nearest to 0.5', () => {
    const points = [0, 0.2, 0.6, 1].map((alpha, i) => ({ alpha, score: [1, 2, 2, 1][i] ?? 0 }));
    assert.equal(bestFactor(points), 0.6);
    assert.equal(bestFactor(points.slice(0, 2)), 0.2);
  });
});

describe('greedySoup', () => {
  it('tries models by their value, keeps what is no worse, and writes their mean', async () => {
    const models = [1, 2, 3, 4].map((seed) => path(`model-${seed}`));
    const result = await greedySoup({ models, data, out: path('greedy') });
    const { steps, soup, average, metric } = result;
    assert.equal(metric, 'acc1');
    assert.deepEqual(
      steps.map(({ alone }) => alone),
      steps.map(({ alone }) => alone).toSorted((a, b) => b - a),
    );
    for (const { model, alone } of steps) assert.equal(alone, await accuracyOf(model));
    let value = 0;
    for (const step of steps) {
      assert.equal(step.taken, step.soup >= value, step.model);
      if (step.taken) value = step.soup;
    }
    assert.equal(soup.value, value);
    assert.equal(await accuracyOf(path('greedy')), value);

    const taken = steps.filter((step) => step.taken).map(({ model }) => model);
    assert.deepEqual(
      average.models.map(({ model, weight }) => [model, weight]),
      taken.map((model) => [model, 1 / taken.length]),
    );
    const left = steps.filter((step) => !step.taken).map(({ model }) => model);
    const rule = 'each taken if acc1 is no worse with it';
    assert.deepEqual(average.chosenBy, { data: [data], rule, value, leftOut: left });
    if (taken.length >= 2) await averageModels({ models: taken, out: path('mean') });
    const mean = taken.length >= 2 ? path('mean') : (taken[0] ?? '');
    const weights = (directory: string) =>
      readFileSync(join(directory, 'open_clip_model.safetensors'));
    assert.ok(weights(path('greedy')).equals(weights(mean)));
  });
});
