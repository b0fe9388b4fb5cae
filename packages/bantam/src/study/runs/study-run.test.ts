import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readSubset } from '../../data/index.js';
import { writeImages } from '../../test-support/image-folders.js';
import { gridsOf, type Arm } from '../config/axes.js';
import type { GridOptions, StudyOptions } from '../config/schema.js';
import { StudyData } from './arm-data.js';
import { StudyProgress } from './study-progress.js';
import { canonicalJson, studyRun, type StudyRun } from './study-run.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-study-run-'));
const spec = `folder:${join(folder, 'images')}`;
const study: StudyOptions = {
  name: 'test',
  data: spec,
  run: { model: 'ViT-Nano-16-64', train: { batchSize: 4, lr: 1e-3 } },
  grids: [],
  measure: [],
};

before(() => writeImages(join(folder, 'images'), 5));
after(() => {
  rmSync(folder, { recursive: true });
});

function armsOf(grid: Partial<GridOptions>): readonly Arm[] {
  return gridsOf({ ...study, grids: [{ name: 'grid', ...grid }] }).flatMap(({ arms }) => arms);
}

async function runOf(arm: Arm | undefined, seed = 0, subsets = 'subsets'): Promise<StudyRun> {
  assert.ok(arm);
  const data = await StudyData.open(study, join(folder, subsets));
  return studyRun(arm, { seed, data, spec, folder: join(folder, 'runs') });
}

describe('StudyData', () => {
  it('chooses nested random subsets by the seed, and writes their keys', async () => {
    const arms = armsOf({ axes: { quantity: [0.25, 0.5] }, epochs: [2] });
    const keysOf = async (i: number, seed: number): Promise<ReadonlySet<string>> => {
      const { data, options } = await runOf(arms[i], seed);
      assert.equal(options.data, data.spec);
      assert.equal(data.records, [5, 10][i]);
      assert.equal(options.budget, `${2 * data.records}samples`);
      const [, file = ''] = data.spec.split('subset=');
      return (await readSubset(decodeURIComponent(file))).keys;
    };
    const [quarter, half] = [await keysOf(0, 0), await keysOf(1, 0)];
    assert.ok([...quarter].every((key) => half.has(key)));
    assert.notDeepEqual(await keysOf(1, 1), half);
  });

  it('keeps the highest scores first, and then a random part of them', async () => {
    const data = await StudyData.open(study, undefined);
    const whole = await data.of({ quality: 1, quantity: 1 }, 0);
    assert.deepEqual([whole.spec, whole.records], [spec, 20]);
    await assert.rejects(
      data.of({ quality: 1, quantity: 0.05 }, 0),
      /subset random-0\.05-seed-0 .* has 1 sample/,
    );
  });
});

describe('studyRun', () => {
  it('is named by everything that its result depends on, and by nothing else', async () => {
    const same = armsOf({
      axes: {
        variants: [
          { name: 'plain', run: {} },
          { name: 'other execution', run: { train: { workers: 3, checkpointMinutes: 1 } } },
          { name: 'written out', run: { strategy: { type: 'clip' }, tokenizer: { vocabSize: 4096 } } }, // prettier-ignore
        ],
      },
      epochs: [1],
    });
    const ids = await Promise.all(same.map(async (arm) => (await runOf(arm)).id));
    assert.equal(new Set(ids).size, 1, ids.join());
    const different = armsOf({
      axes: {
        variants: [
          { name: 'rate', run: { train: { lr: 2e-3 } } },
          { name: 'model', run: { model: 'ViT-Nano-8-64' } },
          { name: 'strategy', run: { strategy: 'siglip' } },
        ],
        quantity: [1, 0.5],
      },
      epochs: [1, 2],
    });
    const others = await Promise.all(different.map(async (arm) => (await runOf(arm)).id));
    assert.equal(new Set([...ids, ...others]).size, 1 + 12);
    assert.notEqual((await runOf(same[0], 1)).id, ids[0]);
  });

  it('does not depend on the folder of subsets, but on what is in the data', async () => {
    const [arm] = armsOf({ axes: { quantity: [0.5] }, epochs: [1] });
    const { id } = await runOf(arm);
    assert.equal((await runOf(arm, 0, 'elsewhere')).id, id);
    const images = ['red', 'green', 'blue', 'yellow'].map((name) => join(folder, 'images', name, '0.png')); // prettier-ignore
    const [first = ''] = images;
    const bytes = readFileSync(first);
    // Other sizes of the files.
    for (const image of images) writeFileSync(image, Buffer.concat([readFileSync(image), Buffer.of(0)])); // prettier-ignore
    const [whole] = armsOf({ epochs: [1] });
    const changed = await runOf(whole);
    writeFileSync(first, bytes);
    assert.notEqual(changed.id, (await runOf(whole)).id);
  });
});

describe('canonicalJson', () => {
  it('is the same whatever the order of members', () => {
    const one = { b: [{ y: 1, x: 2 }], a: null };
    assert.equal(canonicalJson(one), '{"a":null,"b":[{"x":2,"y":1}]}');
  });
});

describe('StudyProgress', () => {
  it('estimates what is left by runs of the same arm, and by what runs have done', async () => {
    const [long, short] = armsOf({ axes: { lr: [1, 2] }, epochs: [1] });
    const tracked = [
      { arm: 'long', run: await runOf(long) },
      { arm: 'short', run: await runOf(short) },
      { arm: 'long', run: await runOf(long, 1) },
    ] as const;
    let now = 0;
    const progress = new StudyProgress(tracked, { finished: 1, processes: 1, now: () => now });
    assert.deepEqual(progress.state(), {
      done: 1,
      total: 4,
      progress: 0.25,
      etaSeconds: null,
      running: [],
    });
    progress.start(tracked[0]);
    progress.update(tracked[0], 'training', 0);
    now = 10;
    progress.update(tracked[0], 'training', 0.5);
    // 10 s left of this one, and two more like it.
    assert.equal(progress.state().etaSeconds, 10 + 2 * 20);
    now = 20;
    progress.end(tracked[0], { whole: true });
    progress.start(tracked[1]);
    now = 25;
    progress.update(tracked[1], 'training', 0);
    progress.update(tracked[1], 'training', 1);
    progress.end(tracked[1], { whole: true });
    const { done, etaSeconds } = progress.state();
    assert.equal(done, 3);
    assert.equal(etaSeconds, 20);
  });
});
