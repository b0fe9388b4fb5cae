import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gridsOf } from './axes.js';
import { columnsOf, probeNumbers } from './metrics.js';
import { checkStudy, readStudy } from './read-study.js';
import type { GridOptions, StudyOptions } from './schema.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-study-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const study: StudyOptions = {
  name: 'quantity',
  data: 'csv:pairs.csv',
  run: { model: 'ViT-Nano-16-64', train: { batchSize: 64, lr: 6e-4 } },
  grids: [{ name: 'repeats', axes: { quantity: [1, 0.25] }, budget: ['10ksamples'] }],
  measure: [
    { name: 'test', data: 'csv:test.csv', metrics: ['acc1', 'image_retrieval_median_rank'] },
  ],
};

function withGrid(grid: Partial<GridOptions>): StudyOptions {
  return { ...study, grids: [{ name: 'repeats', ...grid }] };
}

describe('gridsOf', () => {
  it('makes an arm of every combination, named by what varies', () => {
    const [grid] = gridsOf(
      withGrid({ axes: { quantity: [1, 0.25], strategy: ['clip'] }, epochs: [1, 4] }),
    );
    assert.ok(grid);
    assert.deepEqual(grid.varied, ['quantity', 'epochs']);
    assert.deepEqual(
      grid.arms.map(({ name }) => name),
      ['100 %, 1 epoch', '100 %, 4 epochs', '25 %, 1 epoch', '25 %, 4 epochs'],
    );
    assert.equal(grid.baseline, grid.arms[0]);
    assert.deepEqual(grid.arms[3]?.values, {
      quantity: { label: '25 %', number: 0.25 },
      strategy: { label: 'clip' },
      epochs: { label: '4 epochs', number: 4 },
    });
  });

  it('merges groups of settings and replaces everything else', () => {
    const [grid] = gridsOf(
      withGrid({
        axes: {
          variants: [
            { name: 'plain', run: {} },
            { name: 'small', run: { train: { batchSize: 16 }, augment: 'crop-flip' } },
          ],
          strategy: ['clip', { type: 'flip', maskRatio: 0.75 }],
        },
        budget: ['1e12flops'],
        baseline: 'flip maskRatio 0.75, plain',
      }),
    );
    const small = grid?.arms.find(({ name }) => name === 'flip maskRatio 0.75, small');
    assert.deepEqual(small?.options, {
      model: 'ViT-Nano-16-64',
      train: { batchSize: 16, lr: 6e-4 },
      augment: 'crop-flip',
      strategy: { type: 'flip', maskRatio: 0.75 },
    });
    assert.equal(grid?.baseline.name, 'flip maskRatio 0.75, plain');
  });

  it('refuses grids that are not comparisons, in a sentence', () => {
    const refused = (options: StudyOptions, message: RegExp): void => {
      assert.throws(() => gridsOf(options), message);
    };
    refused(withGrid({}), /needs either "epochs" or "budget"/);
    refused(withGrid({ epochs: [1], budget: ['1m'] }), /needs either "epochs" or "budget"/);
    refused(withGrid({ budget: ['1 lightyear'] }), /no known unit/);
    refused(withGrid({ budget: ['3epochs'] }), /no equal cost .* in "epochs"/);
    refused(withGrid({ axes: { quality: [0.5] }, epochs: [1] }), /needs "scores"/);
    refused(withGrid({ axes: { model: [] }, epochs: [1] }), /"model" .* has no values/);
    refused(withGrid({ axes: { quantity: [1, 0.5] }, epochs: [1], baseline: '50%' }), /no arm "50%".*its arms are 100 %; 50 %/); // prettier-ignore
    refused(withGrid({ axes: { lr: [1e-3, 1e-3] }, epochs: [1] }), /Two arms .* named "lr 0.001"/);
    refused({ ...study, grids: [] }, /needs a grid/);
    const tune = { lr: [1e-3], data: 'csv:val.csv', metric: 'acc1' };
    refused({ ...withGrid({ axes: { lr: [1e-3] }, epochs: [1] }), tune }, /which "tune" chooses/);
  });
});

describe('checkStudy', () => {
  it('names a wrong setting and the nearest known one', () => {
    const wrong = (changes: object, message: RegExp): void => {
      assert.throws(() => checkStudy({ ...study, ...changes }), message);
    };
    wrong({ run: { train: { batchsize: 3 } } }, /no setting 'run\.train\.batchsize'.*run\.train\.batchSize/); // prettier-ignore
    wrong({ grids: [{ name: 'a', axis: {} }] }, /'grids\[0\]\.axis'.*axes/);
    wrong(
      { grids: [{ name: 'a', axes: { quantity: [0] } }] },
      /is 0; it must be a fraction above 0/,
    );
    wrong({ seeds: [] }, /needs a seed/);
    wrong({ seeds: [1, 1] }, /not all different/);
    wrong({ measure: [] }, /something to measure/);
    wrong({ tune: { lr: [1], data: 'csv:test.csv', metric: 'acc1' } }, /must not be tuned on "csv:test\.csv"/); // prettier-ignore
    wrong({ tune: { lr: [1], data: 'csv:pairs.csv', metric: 'acc1' } }, /training data/);
  });
});

describe('columnsOf', () => {
  it('takes the numbers of shots and neighbours from the names of metrics', () => {
    assert.deepEqual(probeNumbers({ metrics: ['acc1', 'few_shot@5', 'few_shot@3', 'knn@7'] }), {
      shots: [5, 3],
      neighbours: [7],
    });
    assert.deepEqual(probeNumbers({ metrics: ['acc1'] }), {});
  });

  it('knows the task of each metric, and refuses unknown ones', () => {
    assert.deepEqual(
      columnsOf(study).map(({ id, task, lowerIsBetter }) => [id, task, lowerIsBetter]),
      [
        ['test, acc1', 'zero-shot', false],
        ['test, image_retrieval_median_rank', 'retrieval', true],
      ],
    );
    const measure = [{ name: 'test', data: 'csv:test.csv', metrics: ['acc2'] }];
    assert.throws(() => columnsOf({ measure }), /no metric "acc2" \(did you mean "acc\d"\?\)/);
  });
});

describe('readStudy', () => {
  it('reads JSON and modules alike, and says what is wrong with a file', async () => {
    const json = join(folder, 'study.json');
    const module = join(folder, 'study.mjs');
    writeFileSync(json, JSON.stringify(study));
    writeFileSync(module, `export default ${JSON.stringify(study)};`);
    assert.deepEqual(await readStudy(json), study);
    assert.deepEqual(await readStudy(module), study);
    writeFileSync(join(folder, 'none.mjs'), 'export const study = {};');
    await assert.rejects(readStudy(join(folder, 'none.mjs')), /has no default export/);
    await assert.rejects(readStudy(join(folder, 'absent.json')), /There is no study/);
  });
});
