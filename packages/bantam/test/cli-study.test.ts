import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { modelConfig } from 'bantam';
import type { StudyOptions, StudyPlan, StudyResult } from 'bantam/experimental';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const options = { cwd, env: { OMP_NUM_THREADS: '1' } };

const model = modelConfig('ViT-Pico-8-64', {
  embedDim: 16,
  vision: { imageSize: 32, patchSize: 16, width: 32, headWidth: 16, layers: 1 },
  text: { width: 32, heads: 2, layers: 1 },
});

const study: StudyOptions = {
  name: 'repeats',
  data: 'csv:train/pairs.csv',
  run: {
    model,
    // Checkpoints after every step or so.
    train: { batchSize: 24, lr: 2e-3, workers: 0, precision: 'fp32', checkpointMinutes: 1e-4 },
    tokenizer: { vocabSize: 560, contextLength: 16 },
  },
  seeds: [0, 1],
  grids: [{ name: 'equal samples', axes: { quantity: [1, 0.5] }, budget: ['960samples'] }],
  measure: [
    { name: 'shapes', data: 'folder:test', metrics: ['acc1'] },
    { name: 'captions', data: 'csv:test/pairs.csv', metrics: ['image_retrieval_recall@5'] },
  ],
};

async function write(name: string, changes: Partial<StudyOptions> = {}): Promise<string> {
  await writeFile(join(cwd, name), JSON.stringify({ ...study, ...changes }));
  return name;
}

before(async () => {
  await drawShapes(join(cwd, 'train'), { each: 4 });
  await drawShapes(join(cwd, 'test'), { each: 2, variant: 1 });
});
after(() => rm(cwd, { recursive: true }));

/** The table of a study without times and folders, which no two studies have in common. */
function tableOf({ arms, comparisons }: StudyResult): unknown {
  return {
    arms: arms.map(({ rows, ...arm }) => ({
      ...arm,
      seconds: 0,
      rows: rows.map((row) => ({ ...row, seconds: 0, run: basename(row.run) })),
    })),
    comparisons,
  };
}

describe('bantam study', () => {
  it('killed again and again ends with the same table as uninterrupted', async () => {
    const file = await write('study.json');
    const whole = (await bantamJson(['study', file, '--out', 'whole'], options)) as StudyResult;
    const [all, half] = whole.arms;
    assert.deepEqual([all?.name, half?.name], ['100 %', '50 %']);
    assert.deepEqual([all?.records, half?.records], [48, 24]);
    assert.deepEqual([all?.epochs, half?.epochs], [20, 40]);
    assert.deepEqual([all?.samples, half?.samples], [960, 960]);
    assert.equal(all?.rows.length, 2);
    assert.equal(whole.comparisons.length, 2);
    assert.equal(whole.failures.length, 0);

    for (const delay of [0, 150, 300]) {
      const running = start(['study', file, '--out', 'killed'], options);
      // The first run trains, or a later one does.
      await running.printed(/training \d|done/);
      await setTimeout(delay);
      running.process.kill('SIGKILL');
      // The process of its run ends too, without a word of its own.
      const { stderr } = await running.ended;
      assert.doesNotMatch(stderr, /EPIPE|Error/);
    }
    assert.equal(existsSync(join(cwd, 'killed', 'results.json')), false);
    const resumed = (await bantamJson(['study', file, '--out', 'killed'], options)) as StudyResult;
    assert.deepEqual(tableOf(resumed), tableOf(whole));
    const runs = readdirSync(join(cwd, 'killed', 'runs'));
    assert.deepEqual(runs.sort(), readdirSync(join(cwd, 'whole', 'runs')).sort());
    assert.equal(runs.length, 4);
  });

  it('reports an arm that fails, measures the others, and takes what is done', async () => {
    const variants = [
      { name: 'good', run: {} },
      { name: 'without its teacher', run: { strategy: { type: 'distill', teachers: ['none'] } } },
    ] as const;
    const grids = [{ name: 'equal samples', axes: { variants }, budget: ['960samples'] }];
    const file = await write('failing.json', { grids });
    const { status, stdout, stderr } = await bantam(['study', file, '--out', 'whole'], options);
    assert.equal(status, 1);
    assert.match(stdout, /^good +2 +48 +20\.0 +960 /m);
    assert.match(
      stdout,
      /Runs that failed\n {2}equal samples: without its teacher, seed 0: .*none/,
    );
    assert.match(stderr, /^error: 2 runs failed; the results are of the others/m);
    // The good arm is the one of the study before.
    assert.equal(readdirSync(join(cwd, 'whole', 'runs')).length, 4 + 2);
    const results = join(cwd, 'whole', 'results.json');
    const { failures } = JSON.parse(readFileSync(results, 'utf8')) as StudyResult;
    assert.deepEqual(
      failures.map(({ arm, seed }) => [arm, seed]),
      [
        ['without its teacher', 0],
        ['without its teacher', 1],
      ],
    );
  });

  it('says what could not be read', async () => {
    await drawShapes(join(cwd, 'damaged'), { each: 2, variant: 1 });
    const [first] = readdirSync(join(cwd, 'damaged'), { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.png'),
    );
    await writeFile(join(cwd, 'damaged', first ?? ''), 'no image');
    const measure = [{ name: 'shapes', data: 'folder:damaged', metrics: ['acc1'] }];
    const file = await write('damaged.json', { measure, seeds: [0] });
    const { stdout } = await bantam(['study', file, '--out', 'whole'], options);
    assert.match(stdout, /^1 image of shapes could not be read: the metrics are of the others\.$/m);
    const page = readFileSync(join(cwd, 'whole', 'report.html'), 'utf8');
    assert.match(page, /<li>1 image of shapes could not be read/);
  });

  it('lists the runs with time and memory, trials of learning rates included, and writes nothing', async () => {
    const tune = { lr: [1e-3, 3e-3], data: 'folder:train', metric: 'acc1' };
    const file = await write('tuned.json', { tune });
    const args = ['study', file, '--out', 'planned', '--dry-run', '--processes', '2'];
    const plan = (await bantamJson(args, options)) as StudyPlan;
    assert.equal(plan.runs.length, 2 * 2 + 2);
    assert.deepEqual(
      plan.runs.map(({ lr }) => lr),
      [1e-3, 1e-3, 3e-3, 3e-3, 'tuned', 'tuned'],
    );
    assert.ok(plan.runs.every(({ samples, seconds, bytes }) => samples === 960 && Number(seconds) > 0 && bytes > 1e7)); // prettier-ignore
    assert.ok(plan.seconds > 0 && plan.bytes > plan.runs.reduce((most, { bytes }) => Math.max(most, bytes), 0)); // prettier-ignore
    assert.equal(existsSync(join(cwd, 'planned')), false);
  });

  it('refuses what is wrong before anything is trained, in a sentence', async () => {
    for (const name of ['.', 'study.yaml']) {
      await write('study.yaml', {});
      await expectFailure(['study', name], {
        ...options,
        status: 2,
        message: / does not describe a study; name a \.json, \.js or \.ts file that does/,
      });
    }
    await expectFailure(['study', 'absent.json'], {
      status: 2,
      message: /There is no study absent\.json/,
      ...options,
    });
    const measure = [{ name: 'shapes', data: 'folder:test', metrics: ['acc9'] }];
    await expectFailure(['study', await write('wrong.json', { measure }), '--out', 'wrong'], {
      status: 2,
      message: /no metric "acc9"/,
      ...options,
    });
    assert.equal(existsSync(join(cwd, 'wrong', 'runs')), false);
  });
});
