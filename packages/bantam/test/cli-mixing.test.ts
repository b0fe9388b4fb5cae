import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { saveTinyModel } from '../dist/test-support/saved-model.js';
import { bantam, bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const options = { cwd, env: { OMP_NUM_THREADS: '1' } };
const info = (directory: string): unknown =>
  JSON.parse(readFileSync(join(cwd, directory, 'bantam.json'), 'utf8'));
const weights = (directory: string): Buffer =>
  readFileSync(join(cwd, directory, 'open_clip_model.safetensors'));

before(async () => {
  await drawShapes(join(cwd, 'shapes'), { each: 1 });
  for (const seed of [1, 2, 3]) await saveTinyModel(join(cwd, `m${seed}`), seed);
});
after(() => rm(cwd, { recursive: true }));

const run = (...args: string[]) => bantam(['models', ...args], options);

describe('bantam models interpolate', () => {
  it('mixes half of each by default, and equals the models at the ends', async () => {
    const { status, stdout } = await run('interpolate', 'm1', 'm2', '--out', 'half');
    assert.equal(status, 0);
    assert.match(stdout, /^50\.0 % of m1 and 50\.0 % of m2: half$/m);
    for (const [alpha, model] of [
      ['0', 'm1'],
      ['1', 'm2'],
    ] as const) {
      // prettier-ignore
      await run('interpolate', 'm1', 'm2', '--alpha', alpha, '--out', `end-${alpha}`);
      assert.ok(weights(`end-${alpha}`).equals(weights(model)));
    }
  });

  it('measures the curve, chooses a factor by the rule, and draws the figure', async () => {
    const curve = ['--own', 'folder:shapes', '--other', 'csv:shapes/pairs.csv', '--factors', '0.5'];
    const args = ['interpolate', 'm1', 'm2', ...curve, '--report', 'curve.html', '--out', 'best'];
    const { status, stdout, stderr } = await run(...args);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^own: folder:shapes, 12 images$/m);
    assert.match(stdout, /alpha +own: acc1 +other: mean_recall@1 +mean of both$/m);
    assert.match(stdout, /^Best factor: (0|0\.5|1), by the highest mean of own and other data/m);
    assert.match(readFileSync(join(cwd, 'curve.html'), 'utf8'), /<svg class="chart frontier"/);
    const { average } = info('best') as { average: { method: string; chosenBy: { data: string[] } } }; // prettier-ignore
    assert.equal(average.method, 'wise-ft');
    assert.deepEqual(average.chosenBy.data, ['folder:shapes', 'csv:shapes/pairs.csv']);
    const json = await bantamJson(['models', 'interpolate', 'm1', 'm2', ...curve], options);
    const { points } = (json as { curve: { points: { alpha: number }[] } }).curve;
    assert.deepEqual(
      points.map(({ alpha }) => alpha),
      [0, 0.5, 1],
    );
  });

  it('refuses what cannot be done in one sentence', async () => {
    const fails = (args: string[], message: RegExp, status: 1 | 2) =>
      expectFailure(['models', 'interpolate', 'm1', ...args], { ...options, status, message });
    await fails(['m2'], /Name the model directory to write with --out/, 2);
    await fails(['m2', '--out', 'x', '--report', 'y.html'], /--report belongs to the curve/, 2);
    await fails(['m2', '--out', 'x', '--alpha', '1.1'], /a number from 0 to 1/, 2);
    await fails(['nowhere', '--out', 'x'], /nowhere/, 1);
  });
});

describe('bantam models soup', () => {
  it('writes the mean of all models', async () => {
    const { status, stdout } = await run('soup', 'm1', 'm2', 'm3', '--out', 'soup');
    assert.equal(status, 0);
    assert.match(stdout, /^Mean of 3 models: soup$/m);
    const { average } = info('soup') as { average: { models: { model: string }[] } };
    assert.deepEqual(
      average.models.map(({ model }) => model),
      ['m1', 'm2', 'm3'],
    );
  });

  it('prints the order of a greedy soup and what it took', async () => {
    const args = ['m1', 'm2', 'm3', '--greedy', '--data', 'folder:shapes', '--out', 'greedy'];
    const { status, stdout, stderr } = await run('soup', ...args);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^acc1 on folder:shapes, 12 images$/m);
    assert.match(stdout, /^taken +m\d +\d+\.\d % +\d+\.\d %$/m);
    assert.match(stdout, /^Mean of [123] of 3 models, \d+\.\d %: greedy$/m);
  });

  it('refuses what cannot be done in one sentence', async () => {
    const fails = (args: string[], message: RegExp, status: 1 | 2) =>
      expectFailure(['models', 'soup', ...args, '--out', 'x'], { ...options, status, message });
    await fails(['m1'], /names? two or more/i, 2);
    await fails(['m1', 'm2', '--greedy'], /name them with --data/, 2);
    await fails(['m1', 'm2', '--data', 'folder:shapes'], /--data belongs to a greedy soup/, 2);
  });
});
